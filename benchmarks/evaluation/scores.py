"""Scores of a group's selectors, by seed, and how they differ."""

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.plan import Choice, Group
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.trial import Budget

MET, MET_BY_ERROR, MISSED = "met", "met by its error", "**missed**"

Seeds: TypeAlias = dict[int, float]
"""A score of each seed that has one."""

MISSING = "–"  # of a number in a table


class Panel(NamedTuple):
    """What one table is of."""

    data: str
    order: str | None


class Spread(NamedTuple):
    """A mean over seeds, and how far they are apart, or how sure the mean is."""

    mean: float
    spread: float
    num_seeds: int

    def text(self, digits: int = 1, sign: str = "") -> str:
        """Return mean ± spread; of a single seed there is no spread.

        Examples
        --------
        >>> Spread(2.0, 0.25, 5).text(sign="+"), Spread(-0.01, 0.0, 1).text()
        ('+2.0 ± 0.2', '0.0')
        """
        mean = f"{self.mean:{sign}z.{digits}f}"  # z: zero has no sign of its own
        return mean if self.num_seeds == 1 else f"{mean} ± {self.spread:.{digits}f}"

    @property
    def reach(self) -> float:
        """How far mean and error reach."""
        return self.mean + self.spread

    def judged(self, at_least: float) -> str:
        """Return whether a floor is met, and by what.

        Examples
        --------
        >>> [Spread(2.0, 0.5, 5).judged(asked) for asked in (2.0, 2.5, 2.6)]
        ['met', 'met by its error', '**missed**']
        """
        if self.mean >= at_least:
            return MET
        return MET_BY_ERROR if self.reach >= at_least else MISSED


def panels(group: Group) -> list[Panel]:
    """Return the tables of a group."""
    return [Panel(data, order) for data in group.data for order in group.orders]


def lines_of(
    group: Group,
    panel: Panel,
    choice: Choice,
    recipe: str,
    budget: Budget,
    results: Mapping[str, Line],
) -> dict[int, Line]:
    """Return the results of one cell by seed, those of trials that failed left out."""
    found = {}
    for seed in group.seeds:
        trial = group.trial(panel.data, budget, choice, recipe, seed, panel.order)
        line = results.get(trial.key)
        if line is not None and line["error"] is None:
            found[seed] = line
    return found


def scores(lines: Mapping[int, Line], metric: str) -> Seeds:
    """Return a metric of some lines by seed, in the unit that it is shown in.

    It is a number of the line, or what the selector says of itself.
    """
    scale = METRICS[metric].scale
    values = {seed: (line["info"] | line).get(metric) for seed, line in lines.items()}
    return {seed: scale * value for seed, value in values.items() if value is not None}


def spread(values: Seeds) -> Spread | None:
    """Return mean and standard deviation over seeds; None without any.

    Examples
    --------
    >>> spread({0: 1.0, 1: 3.0})
    Spread(mean=2.0, spread=1.4142135623730951, num_seeds=2)
    """
    if not values:
        return None
    numbers = np.array(list(values.values()))
    deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
    return Spread(float(numbers.mean()), deviation, len(numbers))


def difference(ours: Seeds, theirs: Seeds) -> Spread | None:
    """Return the mean paired difference, with its standard error, over the seeds of both.

    Examples
    --------
    >>> difference({0: 2.0, 1: 5.0, 2: 9.0}, {0: 1.0, 1: 2.0})
    Spread(mean=2.0, spread=1.0, num_seeds=2)
    """
    found = spread({seed: ours[seed] - theirs[seed] for seed in ours.keys() & theirs.keys()})
    if found is None:
        return None
    return Spread(found.mean, found.spread / math.sqrt(found.num_seeds), found.num_seeds)
