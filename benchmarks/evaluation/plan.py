"""Plans: TOML files that say which trials there are, and how they are shown."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import product
from pathlib import Path
from typing import Any, Self, TypeVar

from benchmarks.evaluation.floors import Floor
from benchmarks.evaluation.orders import ORDERS
from benchmarks.evaluation.ranks import Ranking
from benchmarks.evaluation.recipes import Recipe
from benchmarks.evaluation.trial import Budget, Protocol, Trial, share_of
from echo_stream.errors import ConfigError

FULL = "100%"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Choice:
    """A selector with its options, under the name that tables give it."""

    label: str
    name: str
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    labels_of: str | None = None

    @classmethod
    def of(cls, entry: str | dict[str, Any]) -> Self:
        """Return what an entry of a plan stands for: a name, or a table."""
        values = {"name": entry} if isinstance(entry, str) else entry
        return _build(cls, {"label": values.get("name")} | values, "a selector")


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


def read_plan(path: Path) -> Plan:
    """Return the plan in a TOML file.

    Settings at the top, `title` and `note` apart, hold for every group that does not give
    its own; `seeds` is a number of seeds, from 0, or a list of them.

    Raises
    ------
    ConfigError
        If the file cannot be read, or says what no plan says.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        msg = f"cannot read plan {path}: {err.strerror}"
        raise ConfigError(msg) from err
    except tomllib.TOMLDecodeError as err:
        msg = f"{path} is no TOML: {err}"
        raise ConfigError(msg) from err
    try:
        return _plan(content)
    except ConfigError as err:
        msg = f"plan {path}: {err}"
        raise ConfigError(msg) from err


def _plan(content: dict[str, Any]) -> Plan:
    """Return the plan that a file's content describes."""
    groups, floors, rankings = (content.pop(kind, []) for kind in ("group", "floor", "rank"))
    title, note = content.pop("title", ""), content.pop("note", "")
    if not groups:
        msg = "there is no [[group]]; give at least one"
        raise ConfigError(msg)
    train = content.pop("train", {})
    plan = Plan(
        title,
        tuple(_group(content | entry, train) for entry in groups),
        tuple(_build(Floor, _tuples(entry), "a floor") for entry in floors),
        note,
        tuple(_build(Ranking, _tuples(entry), "a ranking") for entry in rankings),
    )
    parts: tuple[Floor | Ranking, ...] = (*plan.floors, *plan.rankings)
    for part in parts:
        part.check(plan)
    return plan


def _group(values: dict[str, Any], train: dict[str, Any]) -> Group:
    """Return a group, checked as far as it can be without its data."""
    seeds = values.get("seeds", 1)
    selectors = tuple(map(Choice.of, values.get("selectors", [])))
    own = values.get("train", {})
    if "epochs" in own:  # a number of steps, which would go before it, is that of other groups
        train = {name: value for name, value in train.items() if name != "steps"}
    values = _tuples(values) | {
        "seeds": tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
        "selectors": selectors,
        "train": train | own,
        "recipes": tuple(values.get("recipes", ["ce"])),
        "orders": tuple(values.get("orders") or [None]),
    }
    group = _build(Group, values, f"group {values.get('name')}")
    for recipe in group.recipes:
        Recipe.parse(recipe)
    for budget in group.budgets:
        share_of(budget)
    for order in set(group.orders) - {None, *ORDERS}:
        msg = f"group {group.name}: an order is one of {', '.join(ORDERS)}; got {order!r}"
        raise ConfigError(msg)
    for label in (group.baseline, *group.ours, *(c.labels_of for c in selectors if c.labels_of)):
        group.choice(label)
    _check_why(group)
    return group


def _check_why(group: Group) -> None:
    """Raise a ConfigError if a group says why, but not of what, or not in words."""
    if group.why and not (isinstance(group.why, str) and group.why.strip() and group.ours):
        msg = (
            f"group {group.name}: why is text on where `ours` wins and loses; "
            f"got {group.why!r} with ours = {list(group.ours)}"
        )
        raise ConfigError(msg)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with tuples where there were lists."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def _build(kind: type[T], values: dict[str, Any], what: str) -> T:
    """Return a dataclass of values; refuse names that it does not have, or lacks."""
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]  # all are dataclasses
    if unknown := sorted(set(values) - known):
        msg = f"{what} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}"
        raise ConfigError(msg)
    try:
        return kind(**values)
    except TypeError as err:  # says which are missing
        msg = f"{what}: {str(err).partition(') ')[2]}"
        raise ConfigError(msg) from err
