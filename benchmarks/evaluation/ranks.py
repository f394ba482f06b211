"""Rankings: which groups' cells selectors are ranked over."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from echo_stream.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.evaluation.plan import Choice, Plan


@dataclass(frozen=True, slots=True)
class Ranking:
    """A mean rank over the cells of several groups: data sets, orders and budgets.

    Attributes
    ----------
    name : str
        What its section of a report is found by.
    title : str
        Heading, in Markdown.
    groups : tuple of str
        Of the same plan, each of one recipe, which is its own.
    """

    name: str
    title: str
    groups: tuple[str, ...]

    def choices(self, plan: "Plan") -> "list[Choice]":
        """Return the selectors that all of its groups have, under the same label."""
        first, *others = (plan.group(name).selectors for name in self.groups)
        return [choice for choice in first if all(choice in other for other in others)]

    def check(self, plan: "Plan") -> None:
        """Raise a ConfigError unless the plan has what is ranked."""
        names = [group.name for group in plan.groups] + [other.name for other in plan.rankings]
        if names.count(self.name) > 1:
            msg = f"ranking {self.name!r}: a group or ranking has this name; give another"
            raise ConfigError(msg)
        if not self.groups:
            msg = f"ranking {self.name!r} has no groups; give at least one"
            raise ConfigError(msg)
        for group in map(plan.group, self.groups):
            if len(group.recipes) > 1:
                msg = (
                    f"ranking {self.name!r}: group {group.name} has {len(group.recipes)} recipes; "
                    "give groups of one"
                )
                raise ConfigError(msg)
        if len(self.choices(plan)) < 2:
            msg = f"ranking {self.name!r}: its groups have no two selectors in common"
            raise ConfigError(msg)
