"""Where ours wins and loses."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.plan import Group
from benchmarks.evaluation.results import Line, labels_seen
from benchmarks.evaluation.scores import (
    Seeds,
    Spread,
    difference,
    lines_of,
    panels,
    scores,
)
from benchmarks.evaluation.tables import budget_name, panel_name

OWN = frozenset({"echo", "echo-paper", "echo-quotas"})  # selectors, whatever their options


class Outcome(NamedTuple):
    """A win or a loss: who against whom, in which cell, and by how much."""

    pair: str
    where: str
    found: Spread

    @property
    def text(self) -> str:
        """Cell and difference, in points.

        Examples
        --------
        >>> Outcome("echo against random", "mnist at 60, ce", Spread(3.0, 0.5, 5)).text
        'mnist at 60, ce: +3.00 ± 0.50'
        """
        return f"{self.where}: {self.found.text(digits=2, sign='+')}"


def wins_and_losses(
    group: Group, results: Mapping[str, Line]
) -> tuple[list[Outcome], list[Outcome]]:
    """Return where ours is above, and below, the selectors of others.

    By more than a standard error of the paired difference. How ours compares with variants of
    it is for the tables to show. By the group's first metric ours can lose against each of the
    others, and win against the baseline, the best, and the best of those that look at no
    labels: one that does would hide it. By other metrics it is compared with the baseline.
    """
    wins, losses = [], []
    for contest in _contests(group, results):
        for name, theirs in contest.rivals.items():
            found = difference(contest.ours, theirs)
            if found is None or found.num_seeds == 1:  # one seed is an anecdote
                continue
            outcome = Outcome(f"{contest.label} against {name}", contest.where, found)
            if found.mean - found.spread > 0 and name in contest.notable:
                wins.append(outcome)
            elif found.mean + found.spread < 0:
                losses.append(outcome)
    return wins, losses


def by_pair(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line for each pair, with all of its outcomes."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.pair, []).append(outcome.text)
    return [f"{pair}: {'; '.join(texts)}" for pair, texts in found.items()]


class Contest(NamedTuple):
    """One of ours in one cell, and those that it is compared with.

    Attributes
    ----------
    label, where : str
        Of ours, and of the cell.
    ours : Seeds
    rivals : dict of str to Seeds
    notable : set of str
        Rivals against which a win is worth telling.
    """

    label: str
    where: str
    ours: Seeds
    rivals: dict[str, Seeds]
    notable: set[str]


def _contests(group: Group, results: Mapping[str, Line]) -> Iterator[Contest]:
    """Yield what is compared, metric by metric and cell by cell."""
    places = list(product(panels(group), group.recipes, group.budgets))
    lines = {
        place: {
            choice.label: lines_of(group, place[0], choice, *place[1:], results)
            for choice in group.selectors
        }
        for place in places
    }
    for metric in [name for name in group.metrics if METRICS[name].is_judged]:
        is_first = metric == group.metrics[0]
        words = "" if is_first else f", {METRICS[metric].words.removesuffix(', %')}"
        for place in places:
            panel, recipe, budget = place
            where = f"{panel_name(panel)} at {budget_name(budget)}, {recipe}{words}"
            cells = lines[place]
            values = {label: v for label, cell in cells.items() if (v := scores(cell, metric))}
            rivals, notable = _rivals(group, cells, values)
            if not is_first:
                rivals = [label for label in rivals if label == group.baseline]
            for label in filter(values.__contains__, group.ours):
                beside = {rival: values[rival] for rival in rivals}
                yield Contest(label, where, values[label], beside, notable)


def _rivals(
    group: Group, cells: Mapping[str, Mapping[int, Line]], values: Mapping[str, Seeds]
) -> tuple[list[str], set[str]]:
    """Return the labels of the selectors of others that have scores, and which are notable."""
    others = [c.label for c in group.selectors if c.name not in OWN and c.label in values]
    blind = [label for label in others if not any(map(labels_seen, cells[label].values()))]
    return others, {group.baseline, *(_best_of(some, values) for some in (others, blind) if some)}


def _best_of(labels: Sequence[str], values: Mapping[str, Seeds]) -> str:
    """Return the label with the highest mean."""
    return max(labels, key=lambda label: float(np.mean(list(values[label].values()))))
