"""Pictures of a group: a score by the number of labels, with error bars."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.plan import Group
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.scores import Panel, lines_of, panels, scores, spread
from benchmarks.evaluation.tables import panel_name
from echo_stream._common.typing import FloatArray

Curve: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
"""Labels, means and deviations."""

PANEL_INCHES = (4.2, 3.6)
DOTS_PER_INCH = 80
PALETTE = "tab20"
OURS = ("#c2410c", "#7c3aed", "#0f766e", "#be185d")


def draw(group: Group, results: Mapping[str, Line], path: Path) -> bool:
    """Draw the first metric of a group as a PNG, a panel for each data set, order and recipe.

    Returns
    -------
    bool
        Whether there was a line to draw, of two budgets at least.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only to draw

    every = {
        (recipe, panel): _curves(group, panel, recipe, results)
        for recipe, panel in product(group.recipes, panels(group))
    }
    recipes = [r for r in group.recipes if any(every[r, panel] for panel in panels(group))]
    columns = [panel for panel in panels(group) if any(every[r, panel] for r in recipes)]
    if not columns:
        return False
    width, height = PANEL_INCHES
    size = (width * len(columns), height * len(recipes))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(recipes), len(columns), squeeze=False)
    for axis, (recipe, panel) in zip(grid.flat, product(recipes, columns), strict=True):
        _draw_panel(axis, group, every[recipe, panel])
        name = panel_name(panel)
        axis.set(title=name if len(group.recipes) == 1 else f"{name}, {recipe}", xlabel="labels")
    for axis in grid[:, 0]:
        axis.set_ylabel(METRICS[group.metrics[0]].words)
    named: dict[str, Any] = {}
    for axis in grid.flat:
        drawn, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, drawn, strict=True))
        axis.set_visible(bool(labels))
    grid[0, 0].legend(named.values(), named.keys(), fontsize="x-small")
    figure.savefig(path, dpi=DOTS_PER_INCH)
    return True


def _draw_panel(axis: Any, group: Group, curves: Mapping[str, Curve]) -> None:
    """Draw the lines of one panel, with a tick at each number of labels."""
    for place, choice in enumerate(group.selectors):
        if choice.label in curves:
            x, y, error = curves[choice.label]
            axis.errorbar(x, y, error, capsize=2, label=choice.label, **_style(group, place))
    axis.set_xscale("log")
    ticks = max((x for x, _, _ in curves.values()), key=len, default=np.array([]))
    axis.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axis.minorticks_off()


def _curves(
    group: Group, panel: Panel, recipe: str, results: Mapping[str, Line]
) -> dict[str, Curve]:
    """Return labels, means and deviations by selector, where there are two budgets or more."""
    found = {}
    for choice in group.selectors:
        points = []
        for budget in group.budgets:
            lines = lines_of(group, panel, choice, recipe, budget, results)
            score = spread(scores(lines, group.metrics[0]))
            if score is not None:
                labels = np.mean([line["labels"] for line in lines.values()])
                points.append((labels, score.mean, score.spread))
        if len(points) > 1:
            x, y, error = np.array(points).T
            found[choice.label] = (x, y, error)
    return found


def _style(group: Group, place: int) -> dict[str, object]:
    """Return how a selector's line looks: ours thick, the baseline black."""
    label = group.selectors[place].label
    if label in group.ours:
        colour = OURS[group.ours.index(label) % len(OURS)]
        return {"linewidth": 2.5, "color": colour, "zorder": 3}
    if label == group.baseline:
        return {"linewidth": 1.5, "color": "black", "linestyle": "dashed", "zorder": 2}
    import matplotlib as mpl  # noqa: PLC0415 - slow, and only to draw

    return {"linewidth": 1, "color": mpl.colormaps[PALETTE](place % 20), "alpha": 0.8}
