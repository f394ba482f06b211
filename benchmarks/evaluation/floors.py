"""Floors: by how much a selector has to beat another, and whether it does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.evaluation.trial import Budget
from echo_stream.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.evaluation.plan import Plan


@dataclass(frozen=True, slots=True)
class Floor:
    """A difference that has to be reached, in points.

    Attributes
    ----------
    text : str
        What is asked, in words.
    group : str
        Where the trials are, of the same plan.
    selector, against : str
        Labels of the group.
    at_least : float
        The floor is met when mean + standard error of the paired difference reaches it.
    data, budgets, recipes : tuple
        Cells of the group; () is all of them.
    metric : str
    against_group : str or None
        Where the other's trials are, if in another group.
    is_everywhere : bool
        Whether each cell has to meet it, rather than their average.
    """

    text: str
    group: str
    selector: str
    against: str
    at_least: float
    data: tuple[str, ...] = ()
    budgets: tuple[Budget, ...] = ()
    recipes: tuple[str, ...] = ()
    metric: str = "accuracy"
    against_group: str | None = None
    is_everywhere: bool = False

    def check(self, plan: "Plan") -> None:
        """Raise a ConfigError unless the plan has what is compared."""
        group = plan.group(self.group)
        group.choice(self.selector)
        plan.group(self.against_group or self.group).choice(self.against)
        for known, asked in (
            (group.data, self.data),
            (group.budgets, self.budgets),
            (group.recipes, self.recipes),
        ):
            if unknown := [value for value in asked if value not in known]:
                msg = f"floor {self.text!r}: group {group.name} has no {unknown[0]!r}"
                raise ConfigError(msg)
