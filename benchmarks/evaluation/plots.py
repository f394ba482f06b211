"""Pictures of a group: a score by the number of labels, with error bars."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.evaluation.plan import Group
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.scores import METRICS, Panel, lines_of, panels, scores, spread
from benchmarks.evaluation.tables import panel_name

PANEL_INCHES = (4.2, 3.6)
DOTS_PER_INCH = 80
PALETTE = "tab20"


def draw(group: Group, results: Mapping[str, Line], path: Path) -> bool:
    """Draw the first metric and recipe of a group as a PNG, a panel for each data set and order.

    Returns
    -------
    bool
        Whether there was a line to draw, of two budgets at least.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only to draw

    curves = {panel: _curves(group, panel, results) for panel in panels(group)}
    curves = {panel: found for panel, found in curves.items() if found}
    if not curves:
        return False
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width * len(curves), height), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    for axis, (panel, found) in zip(axes, curves.items(), strict=True):
        for place, choice in enumerate(group.selectors):
            if choice.label in found:
                x, y, error = found[choice.label]
                axis.errorbar(x, y, error, capsize=2, label=choice.label, **_style(group, place))
        axis.set(title=panel_name(panel), xlabel="labels", xscale="log")
    axes[0].set_ylabel(METRICS[group.metrics[0]].words)
    axes[0].legend(fontsize="x-small")
    figure.savefig(path, dpi=DOTS_PER_INCH)
    return True


def _curves(
    group: Group, panel: Panel, results: Mapping[str, Line]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return labels, means and deviations by selector, where there are two budgets or more."""
    found = {}
    for choice in group.selectors:
        points = []
        for budget in group.budgets:
            lines = lines_of(group, panel, choice, group.recipes[0], budget, results)
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
        return {"linewidth": 2.5, "color": "#c2410c", "zorder": 3}
    if label == group.baseline:
        return {"linewidth": 1.5, "color": "black", "linestyle": "dashed", "zorder": 2}
    import matplotlib as mpl  # noqa: PLC0415 - slow, and only to draw

    return {"linewidth": 1, "color": mpl.colormaps[PALETTE](place % 20), "alpha": 0.8}
