"""The map of a snapshot as a picture: cells, graph, core and support."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from echo_stream.connectors.storage.destinations import new_file
from echo_stream.coreset.rows import MAP_AXES
from echo_stream.coreset.snapshot import Snapshot

_INCHES = (8.0, 7.0)
_DOTS_PER_INCH = 120
_CELL_COLOURS = "Blues"
CORE_COLOUR = "#c2410c"
SUPPORT_COLOUR = "#15803d"
EDGE_COLOUR = "#475569"
BRIDGE_COLOUR = "#9333ea"


def plot_map(snapshot: Snapshot, destination: Path, *, overwrite: bool = False) -> Path:
    """Draw a snapshot as a .png.

    Cells are shaded by the logarithm of their count; where the latent space has other
    than two dimensions they are points. Bridges are dashed.

    Raises
    ------
    ConfigError
        If destination is in the way or no .png.
    """
    figure = Figure(figsize=_INCHES, layout="constrained")
    axes = figure.subplots()
    _draw_cells(figure, axes, snapshot)
    _draw_edges(axes, snapshot)
    _draw_rows(axes, snapshot, "support", SUPPORT_COLOUR, "^")
    _draw_rows(axes, snapshot, "core", CORE_COLOUR, "o")
    manifest = snapshot.manifest
    axes.set_title(
        f"{manifest['n']:,} samples in {manifest['num_cells']:,} cells, "
        f"{manifest['num_distinct']:,} chosen"
    )
    axes.set_xlabel("first axis of the map")
    axes.set_ylabel("second axis of the map")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.08), ncols=4, frameon=False)
    axes.autoscale_view()
    with new_file(destination, ".png", overwrite=overwrite) as file:
        figure.savefig(file, format="png", dpi=_DOTS_PER_INCH)
    return destination


def _draw_cells(figure: Figure, axes: Axes, snapshot: Snapshot) -> None:
    """Draw the occupied cells, darker the more samples they hold."""
    cells, quantiser = snapshot.cells, snapshot.manifest["quantiser"]
    shades = np.log10(cells.counts)
    if quantiser["kind"] == "grid" and quantiser["dim"] == MAP_AXES:
        width = 1.0 / quantiser["side"]
        squares = [Rectangle((x * width, y * width), width, width) for x, y in cells.cells]
        drawn: mpl.cm.ScalarMappable = axes.add_collection(
            PatchCollection(squares, array=shades, cmap=_CELL_COLOURS, edgecolor="white")
        )
    else:
        drawn = axes.scatter(
            cells.maps[:, 0], cells.maps[:, 1], c=shades, cmap=_CELL_COLOURS, marker="s", s=80
        )
    figure.colorbar(drawn, ax=axes, label="samples in the cell, log10", shrink=0.8)


def _draw_edges(axes: Axes, snapshot: Snapshot) -> None:
    """Draw the graph between the cells' centroids."""
    where = dict(zip(snapshot.cells.cells, snapshot.cells.maps, strict=True))
    edges = snapshot.edges
    lines = np.array(
        [(where[a], where[b]) for a, b in zip(edges.left, edges.right, strict=True)]
    ).reshape(-1, 2, MAP_AXES)
    kinds = (
        (False, "adjacent cells", EDGE_COLOUR, "solid"),
        (True, "bridge", BRIDGE_COLOUR, "dashed"),
    )
    for is_bridge, label, colour, style in kinds:
        chosen = list(lines[edges.is_bridge == is_bridge])
        if chosen:
            axes.add_collection(
                LineCollection(chosen, colors=colour, linestyles=style, linewidths=0.8, label=label)
            )


def _draw_rows(axes: Axes, snapshot: Snapshot, role: str, colour: str, marker: str) -> None:
    """Draw the samples of one role."""
    points = snapshot.rows.maps[snapshot.rows.roles == role]
    if len(points):
        label = f"{role} ({len(points)})"
        axes.scatter(points[:, 0], points[:, 1], s=14, color=colour, marker=marker, label=label)
