"""Which floors are met."""

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from benchmarks.evaluation.floors import Floor
from benchmarks.evaluation.plan import Group, Plan
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.scores import (
    Panel,
    Seeds,
    Spread,
    difference,
    lines_of,
    panels,
    scores,
)
from benchmarks.evaluation.tables import budget_name, panel_name


class Verdict(NamedTuple):
    """What a floor asks, and what there is.

    Attributes
    ----------
    floor : Floor
    found : Spread or None
        The difference that decides, with its standard error; None: not measured yet.
    where : str
        The cell that decides, where each has to meet the floor.
    is_final : bool
        Whether no seed that is missing can change it.
    """

    floor: Floor
    found: Spread | None
    where: str
    is_final: bool = False


def verdict(floor: Floor, plan: Plan, results: Mapping[str, Line]) -> Verdict:
    """Judge a floor by the seeds that have all of its cells on both sides."""
    ours, theirs = plan.group(floor.group), plan.group(floor.against_group or floor.group)
    cells = {
        f"{panel_name(panel)}, {budget_name(budget)}, {recipe}": (
            scores(lines_of(ours, panel, ours.choice(floor.selector), recipe, budget, results),
                   floor.metric),
            scores(
                lines_of(theirs, _panel_in(theirs, panel), theirs.choice(floor.against), recipe,
                         budget, results),
                floor.metric,
            ),
        )
        for panel, recipe, budget in product(
            panels(ours), floor.recipes or ours.recipes, floor.budgets or ours.budgets
        )
        if not floor.data or panel.data in floor.data
    }  # fmt: skip
    asked = len(ours.seeds)
    if not floor.is_everywhere:
        mean = _averaged(list(cells.values()))
        return Verdict(floor, mean, "", mean is not None and mean.num_seeds == asked)
    found = {where: difference(*pair) for where, pair in cells.items()}
    known = {where: value for where, value in found.items() if value is not None}
    if not known:
        return Verdict(floor, None, "")
    # What its error alone meets is worse than what is met, however far that reaches.
    worst = min(known, key=lambda where: (known[where].mean >= floor.at_least, known[where].reach))
    # One cell can miss a floor, and all of them have to meet it.
    whole = [value for value in known.values() if value.num_seeds == asked]
    is_missed = any(value.reach < floor.at_least for value in whole)
    is_final = is_missed or len(whole) == len(found)
    where = f"{worst}; {len(known)} of {len(found)} cells measured"
    return Verdict(floor, known[worst], where, is_final)


def _averaged(cells: list[tuple[Seeds, Seeds]]) -> Spread | None:
    """Return the difference averaged over cells, for the seeds that all of them have."""
    common = set.intersection(*(set(a) & set(b) for a, b in cells)) if cells else set()
    ours, theirs = (
        {seed: float(np.mean([pair[side][seed] for pair in cells])) for seed in common}
        for side in range(2)
    )
    return difference(ours, theirs)


def _panel_in(group: Group, panel: Panel) -> Panel:
    """Return the panel of the same data in a group whose order may be another."""
    return panel if panel.order in group.orders else Panel(panel.data, group.orders[0])
