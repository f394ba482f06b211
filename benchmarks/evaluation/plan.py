"""Plans: which trials there are, what they have to show, and how they are shown."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Self

from benchmarks.evaluation.plan_values import build, listed
from benchmarks.evaluation.trial import Budget, Protocol, Trial
from echo_stream.errors import ConfigError

FULL = "100%"
ALL_SAMPLES = "all samples"  # the label of a training on the whole set
HELD = ", {:,} held"  # the end of a label that tells the number of payloads

LABELS = {
    "balanced": "balanced by class",
    "cbrs": "CBRS",
    "clustream-nearest": "CluStream",
    "echo": "coreset",
    "echo-fixed": "coreset, fixed cells",
    "el2n": "EL2N",
    "facility-location": "facility location",
    "gdumb": "GDumb",
    "grand": "GraNd",
    "graph-cut": "graph cut",
    "k-center": "k-center greedy",
    "k-medoids": "k-means medoids",
    "kmeans-nearest": "mini-batch k-means",
    "least-confidence": "least confidence",
    "merge-reduce": "merge-and-reduce + facility location",
    "random": "uniform sample",
    "reservoir": "uniform sample",
    "reservoir-facility": "reservoir + facility location",
    "reservoir-medoids": "reservoir + k-means medoids",
    "sieve-streaming++": "SieveStreaming++",
}
"""What tables call a selector that a plan gives no label."""


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
        name = values.get("name")
        label = LABELS.get(name, name) if isinstance(name, str) else name
        return build(cls, {"label": label} | values, "a selector")

    @classmethod
    def several(cls, entry: object) -> list[Self]:
        """Return what an entry of a plan stands for: one for each number of payloads `held`.

        The number is an option of the selector, and part of its label.

        Examples
        --------
        >>> several = Choice.several({"name": "merge-reduce", "label": "mine", "held": [90, 1000]})
        >>> [(choice.label, choice.options) for choice in several]
        [('mine, 90 held', {'held': 90}), ('mine, 1,000 held', {'held': 1000})]
        """
        if not (isinstance(entry, dict) and "held" in entry):
            return [cls.of(entry)]
        one = cls.of({name: value for name, value in entry.items() if name != "held"})
        numbers = listed(entry, "held", f"selector {one.label}")
        if not numbers or not all(type(number) is int and number > 0 for number in numbers):
            msg = f"selector {one.label}: held must be numbers of payloads; got {numbers!r}"
            raise ConfigError(msg)
        return [
            replace(
                one, label=f"{one.label}{HELD.format(held)}", options=one.options | {"held": held}
            )
            for held in numbers
        ]

    @property
    def held(self) -> int | None:
        """How many payloads it may hold; None where no number is given."""
        return self.options.get("held")

    @property
    def plain_label(self) -> str:
        """Its label without the number of payloads held."""
        return self.label if self.held is None else self.label.removesuffix(HELD.format(self.held))


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
        What pages show, of `METRICS`; records have all of them.
    with_full : bool
        Whether a model is trained on everything, too, which the fidelity score needs.
    why : str
        Why ours wins and loses, in a sentence or two, for below the lists of that.
    everything : str
        Label of a selector that holds all payloads; where it is given, pages have tables by
        payloads held, which say where a selector comes within a point of this one.
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
    baseline: str = "uniform sample"
    ours: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    note: str = ""
    with_full: bool = False
    why: str = ""
    everything: str = ""

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
        everything = Choice(ALL_SAMPLES, "random")
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
class Floor:
    """A difference that has to be reached, in points.

    Attributes
    ----------
    text : str
        What is asked, in words.
    group : str
        Where the trials are, of the same plan.
    selectors : tuple of str
        Labels of the group, each of which has to reach it.
    against : str
        Label of what they are compared with.
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
    selectors: tuple[str, ...]
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
        for label in self.selectors:
            group.choice(label)
        plan.group(self.against_group or self.group).choice(self.against)
        for known, asked in (
            (group.data, self.data),
            (group.budgets, self.budgets),
            (group.recipes, self.recipes),
        ):
            if unknown := [value for value in asked if value not in known]:
                msg = f"floor {self.text!r}: group {group.name} has no {unknown[0]!r}"
                raise ConfigError(msg)


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

    def choices(self, plan: "Plan") -> list[Choice]:
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


@dataclass(frozen=True, slots=True)
class Picture:
    """Curves of a metric by the number of labels, a panel for each data set and order.

    Attributes
    ----------
    name, title : str
        Of its file, and what it shows.
    groups : tuple of str
        Of the same plan.
    metric : str or None
        None: the first of each group.
    """

    name: str
    title: str
    groups: tuple[str, ...]
    metric: str | None = None

    def check(self, plan: "Plan") -> None:
        """Raise a ConfigError unless the plan has what is drawn."""
        for name in self.groups:
            plan.group(name)


@dataclass(frozen=True, slots=True)
class Plan:
    """Groups of trials, the floors that they have to reach, rankings over several, and pictures.

    Attributes
    ----------
    title, about, note : str
        Heading, what is compared, in a line, and what to know, in Markdown.
    groups : tuple of Group
    floors : tuple of Floor
    rankings : tuple of Ranking
    pictures : tuple of Picture
    """

    title: str
    groups: tuple[Group, ...]
    floors: tuple[Floor, ...] = ()
    about: str = ""
    note: str = ""
    rankings: tuple[Ranking, ...] = ()
    pictures: tuple[Picture, ...] = ()

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
