"""The section of a ranking: mean ranks over the cells of several groups."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.plan import Choice, Group, Plan
from benchmarks.evaluation.ranks import Ranking
from benchmarks.evaluation.results import Line, labels_seen
from benchmarks.evaluation.revisions import revised, revisions_of
from benchmarks.evaluation.scores import (
    MISSING,
    Spread,
    difference,
    lines_of,
    panels,
    scores,
)
from benchmarks.evaluation.tables import markdown, ranks

COUNTS = re.compile(r"^- `(.+)`, .*: (\d+) of (\d+) cells$", re.MULTILINE)

Cell = dict[Choice, dict[int, Line]]


class Placed(NamedTuple):
    """The ranks of selectors in one cell, and their paired differences to its group's baseline."""

    ranks: dict[Choice, float]
    gains: dict[Choice, Spread]


class Part(NamedTuple):
    """One of a ranking's groups, with its cells, whole ones and others."""

    group: Group
    cells: list[Cell]

    @property
    def metric(self) -> str:
        """What its cells are ranked by: the first of its metrics of which more is better."""
        return next((m for m in self.group.metrics if METRICS[m].is_score), "accuracy")

    def placed(self, choices: Sequence[Choice]) -> Iterator[Placed]:
        """Yield how choices stand in each cell that has all their seeds."""
        recipe = self.group.recipes[0]
        for cell in self.cells:
            values = {c: scores(cell[c], self.metric) for c in choices}
            if all(len(seeds) == len(self.group.seeds) for seeds in values.values()):
                among = ranks({(c, recipe): seeds for c, seeds in values.items()})
                baseline = self.group.choice(self.group.baseline)
                base = values.get(baseline, {})
                gains = {c: difference(v, base) for c, v in values.items() if c != baseline}
                yield Placed(
                    {choice: rank for (choice, _), rank in among.items()},
                    {choice: gain for choice, gain in gains.items() if gain is not None},
                )


def rank_section(ranking: Ranking, plan: Plan, results: Mapping[str, Line]) -> str:
    """Return the section of a ranking, in Markdown; nothing without a cell that is whole.

    Selectors that choose by labels are left out of it, and named.

    Parameters
    ----------
    ranking : Ranking
    plan : Plan
        That has it.
    results : mapping of str to Line
        By key, see `benchmarks.evaluation.results.read_results`.
    """
    common = ranking.choices(plan)
    parts = [_part(plan.group(name), common, results) for name in ranking.groups]
    apart = [choice for choice in common if _chooses_by_labels(choice, parts)]
    ranked = [choice for choice in common if choice not in apart]
    placed = [list(part.placed(ranked)) for part in parts]
    every = [cell for cells in placed for cell in cells]
    if not every:
        return ""
    means = {choice: float(np.mean([cell.ranks[choice] for cell in every])) for choice in ranked}
    best_first = sorted(ranked, key=lambda c: means[c])
    rows = [[c.label, f"{means[c]:.2f}", _worst(c, every)] for c in best_first]
    found = [f"### {ranking.title}\n", _note(len(every), sum(len(part.cells) for part in parts))]
    found.append(_made_of(parts, list(map(len, placed)), ranked))
    head = [f"{len(every)} cells", "mean rank", "worst cell beside the baseline, points"]
    found.append(markdown(head, rows))
    if apart:
        names = ", ".join(choice.label for choice in apart)
        found.append(f"Not ranked, since they choose by labels: {names}.\n")
    return "\n".join(found)


def is_part(section: str, before: str) -> bool:
    """Return whether a ranking lacks cells of a group that the one before was made of.

    As with sections of groups, the plan may have had more cells.

    Examples
    --------
    >>> whole = "- `text`, accuracy, ce: 4 of 4 cells"
    >>> is_part(whole.replace("4 of", "3 of"), whole), is_part(whole, whole), is_part(whole, "")
    (True, False, False)
    """
    old = _counts(before)
    return any(
        known < old[name][0] <= planned
        for name, (known, planned) in _counts(section).items()
        if name in old
    )


def num_cells(section: str) -> int:
    """Return the number of cells that a ranking says it is of."""
    return sum(known for known, _ in _counts(section).values())


def _counts(section: str) -> dict[str, tuple[int, int]]:
    """Return by group how many cells a ranking is of, and how many there are."""
    return {name: (int(known), int(planned)) for name, known, planned in COUNTS.findall(section)}


def _worst(choice: Choice, every: Sequence[Placed]) -> str:
    """Return the least difference to a baseline in any cell, ± its standard error."""
    gains = [cell.gains[choice] for cell in every if choice in cell.gains]
    return min(gains, key=lambda gain: gain.mean).text(sign="+") if gains else MISSING


def _part(group: Group, choices: Sequence[Choice], results: Mapping[str, Line]) -> Part:
    """Return a group with the lines of some selectors in each of its cells."""
    cells = [
        {c: lines_of(group, panel, c, group.recipes[0], budget, results) for c in choices}
        for panel, budget in product(panels(group), group.budgets)
    ]
    return Part(group, cells)


def _chooses_by_labels(choice: Choice, parts: Sequence[Part]) -> bool:
    """Return whether a selector has looked at labels in any cell."""
    lines = (line for part in parts for cell in part.cells for line in cell[choice].values())
    return any(map(labels_seen, lines))


def _note(num_ranked: int, num_planned: int) -> str:
    """Return what is ranked, and how much of it is not."""
    text = (
        "The mean of ranks, 1 the best, in cells: a data set, an order and a budget each, "
        f"ranked by means over seeds. {num_ranked} of {num_planned} cells are ranked"
    )
    left_out = "; in the others a trial of some selector is not done"
    return f"{text}{left_out if num_ranked < num_planned else ''}.\n"


def _made_of(parts: Sequence[Part], nums: Sequence[int], ranked: Sequence[Choice]) -> str:
    """Return the groups, with metric, recipe and numbers of cells, and what was measured."""
    lines = [
        f"- `{part.group.name}`, {part.metric.replace('_', ' ')}, {part.group.recipes[0]}: "
        f"{num} of {len(part.cells)} cells\n"
        for part, num in zip(parts, nums, strict=True)
    ]
    return "".join([*lines, *revised(revisions_of({choice.name for choice in ranked}))])
