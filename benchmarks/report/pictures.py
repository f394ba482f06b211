"""Pictures: curves of a metric by the number of labels, with error bars."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.evaluation.plan import Group, Picture
from benchmarks.report.tables import Found, num_labels
from benchmarks.report.words import metric_name, place_name

PANEL_INCHES = (4.2, 3.6)
DOTS_PER_INCH = 80
COLUMNS = 3
LEGEND_COLUMNS = 5
OURS = ("#c2410c", "#7c3aed", "#0f766e", "#be185d")
DIGEST = "Source"  # the text chunk of a PNG that tells what it was drawn of


class Panel(NamedTuple):
    """One of a picture's panels; by selector the labels, means and deviations of its curve."""

    title: str
    axis: str
    group: Group
    curves: dict[str, list[tuple[float, float, float]]]


def panels(picture: Picture, groups: Mapping[str, Found]) -> list[Panel]:
    """Return the panels of a picture that have curves of two budgets or more."""
    found = []
    for known in (groups[name] for name in picture.groups if name in groups):
        group = known.group
        metric, recipe = picture.metric or group.metrics[0], group.recipes[0]
        for data, order in known.places:
            curves = {}
            for choice in group.selectors:
                points = [
                    (float(num_labels(cell)), score["mean"], score.get("sd", 0.0))
                    for cell in known.row((data, order), recipe, choice.label)
                    if cell and (score := cell["metrics"].get(metric))
                ]
                if len(points) > 1:
                    curves[choice.label] = points
            if curves:
                found.append(Panel(place_name(data, order), metric_name(metric), group, curves))
    return found


def digest(drawn: Sequence[Panel]) -> str:
    """Return a digest of what is drawn, which the picture tells."""
    content = [(panel.title, panel.axis, panel.curves) for panel in drawn]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def drawn_of(path: Path) -> str | None:
    """Return the digest of what a picture was drawn of; None of one that is not there."""
    from PIL import Image  # noqa: PLC0415 - slow, and only to look

    if not path.exists():
        return None
    with Image.open(path) as image:
        text: str | None = image.info.get(DIGEST)
        return text


def draw(drawn: Sequence[Panel], path: Path) -> None:
    """Draw panels as a PNG, unless it is drawn of them already: its bytes vary with fonts."""
    if drawn_of(path) == digest(drawn):
        return
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow, and only to draw

    columns = min(COLUMNS, len(drawn))
    lines = -(-len(drawn) // columns)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * lines)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for place, axis in enumerate(grid.flat):
        axis.set_visible(place < len(drawn))
        if place < len(drawn):
            _draw_panel(axis, drawn[place])
    named: dict[str, Any] = {}
    for axis in grid.flat:
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    figure.legend(
        named.values(),
        named.keys(),
        loc="outside lower center",
        ncols=LEGEND_COLUMNS,
        fontsize="small",
    )
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={DIGEST: digest(drawn), "Software": None})


def _draw_panel(axis: Any, panel: Panel) -> None:
    """Draw the lines of one panel, ours thick, with a tick at each number of labels."""
    for label, points in panel.curves.items():
        x, y, error = zip(*points, strict=True)
        style: dict[str, Any] = {"linewidth": 1, "alpha": 0.8}
        if label in panel.group.ours:
            colour = OURS[panel.group.ours.index(label) % len(OURS)]
            style = {"linewidth": 2.5, "zorder": 3, "color": colour}
        elif label == panel.group.baseline:
            style = {"color": "black", "linestyle": "dashed"}
        axis.errorbar(x, y, error, capsize=2, label=label, **style)
    axis.set(title=panel.title, xlabel="labels", ylabel=panel.axis, xscale="log")
    ticks = [x for x, _, _ in max(panel.curves.values(), key=len)]
    axis.set_xticks(ticks, [f"{x:,.0f}" for x in ticks])
    axis.minorticks_off()
