"""Plans: which trials there are, and how they are shown."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Self

from benchmarks.evaluation.floors import Floor
from benchmarks.evaluation.kinds import build
from benchmarks.evaluation.ranks import Ranking
from benchmarks.evaluation.trial import Budget, Protocol, Trial
from echo_stream.errors import ConfigError

FULL = "100%"


@dataclass(frozen=True, slots=True)
class Choice:
    """A selector with its options, under the name that tables give it."""

    label: str
    name: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    labels_of: str | None = None

    @classmethod
    def of(cls, entry: object) -> Self:
        """Return what an entry of a plan stands for: a name, or a table."""
        values = entry if isinstance(entry, dict) else {"name": entry}
        return build(cls, {"label": values.get("name")} | values, "a selector")


@dataclass(frozen=True, slots=True)
class Group:
    """Trials that belong into one comparison: all products of what is listed.

    Attributes
    ----------
    name : str
        Of its pictures, and for `--group`.
    title, note : str
        Heading, and what to know, in Markdown.
    protocol : {"P1", "P2"}
    data, budgets, selectors, recipes, seeds : tuples
    orders : tuple
        Of the stream; (None,) for selectors that see all at once, an empty list in a plan.
    train : dict
        Settings of the training.
    baseline : str
        Label that the others are compared with.
    ours : tuple of str
        Labels whose wins and losses are listed.
    metrics : tuple of str
        What is tabulated, of a result's line.
    with_full : bool
        Whether a model is trained on everything, too, which the fidelity score needs.
    why : str
        Why ours wins and loses, in a sentence or two, for below the lists of that.
    """

    name: str
    title: str
    data: tuple[str, ...]
    budgets: tuple[Budget, ...]
    selectors: tuple[Choice, ...]
    recipes: tuple[str, ...]
    seeds: tuple[int, ...]
    protocol: Protocol = "P1"
    orders: tuple[str | None, ...] = (None,)
    train: dict[str, Any] = field(default_factory=dict)
    baseline: str = "random"
    ours: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    note: str = ""
    with_full: bool = False
    why: str = ""

    def trial(
        self, data: str, budget: Budget, choice: Choice, recipe: str, seed: int, order: str | None
    ) -> Trial:
        """Return one of the group's trials."""
        other = None if choice.labels_of is None else self.choice(choice.labels_of)
        return Trial(
            data=data,
            budget=budget,
            selector=choice.name,
            options=choice.options,
            recipe=recipe,
            seed=seed,
            protocol=self.protocol,
            order=order,
            train=self.train,
            labels_of=None if other is None else (other.name, other.options),
        )

    def full_trial(self, data: str, recipe: str, seed: int) -> Trial:
        """Return the trial that trains on the whole training set."""
        everything = Choice("all", "random")
        return self.trial(data, FULL, everything, recipe.partition("+")[0], seed, None)

    def trials(self, seed: int) -> Iterable[Trial]:
        """Yield the trials of one seed."""
        cells = product(self.data, self.budgets, self.selectors, self.recipes, self.orders)
        for data, budget, choice, recipe, order in cells:
            yield self.trial(data, budget, choice, recipe, seed, order)
        if self.with_full:
            for data, recipe in product(self.data, self.recipes):
                yield self.full_trial(data, recipe, seed)

    def all_trials(self) -> list[Trial]:
        """Return every trial once, seed by seed."""
        trials = (trial for seed in self.seeds for trial in self.trials(seed))
        return list({trial.key: trial for trial in trials}.values())

    def choice(self, label: str) -> Choice:
        """Return the selector of a label."""
        for choice in self.selectors:
            if choice.label == label:
                return choice
        labels = ", ".join(choice.label for choice in self.selectors)
        msg = f"group {self.name} has no selector labelled {label!r}; it has {labels}"
        raise ConfigError(msg)


@dataclass(frozen=True, slots=True)
class Plan:
    """Groups of trials, the floors that they have to reach, and rankings over several.

    Attributes
    ----------
    title, note : str
    groups : tuple of Group
    floors : tuple of Floor
    rankings : tuple of Ranking
    """

    title: str
    groups: tuple[Group, ...]
    floors: tuple[Floor, ...] = ()
    note: str = ""
    rankings: tuple[Ranking, ...] = ()

    def trials(self) -> list[Trial]:
        """Return every trial once: all with the first seed, then all with the next.

        A run that is interrupted so has whole tables, of fewer seeds.
        """
        found: dict[str, Trial] = {}
        for place in range(max(len(group.seeds) for group in self.groups)):
            for group in self.groups:
                for seed in group.seeds[place : place + 1]:
                    found |= {trial.key: trial for trial in group.trials(seed)} | found
        return list(found.values())

    def group(self, name: str) -> Group:
        """Return the group of a name."""
        for group in self.groups:
            if group.name == name:
                return group
        msg = f"there is no group {name!r}; there are {', '.join(g.name for g in self.groups)}"
        raise ConfigError(msg)
