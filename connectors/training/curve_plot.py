"""The learning curve of a training as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_INCHES = (7.0, 4.5)
_DOTS_PER_INCH = 120
_LOSS_COLOUR = "#475569"
_SCORE_COLOUR = "#c2410c"


def plot_curve(metrics: Mapping[str, Any], destination: Path) -> None:
    """Draw loss and score over the steps as a PNG at destination.

    Parameters
    ----------
    metrics : mapping
        As in `echo_stream.training.training.TrainResult`.
    destination : Path
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and `run` never draws

    figure = Figure(figsize=_INCHES, layout="constrained")
    losses = figure.subplots()
    curve = metrics["curve"]
    steps = [point["steps"] for point in curve]
    losses.plot(steps, [point["loss"] for point in curve], ".-", color=_LOSS_COLOUR)
    losses.set_xlabel("steps")
    losses.set_ylabel("mean training loss", color=_LOSS_COLOUR)
    losses.set_title(f"{metrics['config']['model']}, {metrics['labels_used']:,} labels used")
    best = metrics["best"]
    if best is not None:
        name = "rmse" if "rmse" in best else "accuracy"
        scores = losses.twinx()
        scores.plot(steps, [_number(point[name]) for point in curve], ".-", color=_SCORE_COLOUR)
        scores.plot(best["steps"], best[name], "*", color=_SCORE_COLOUR, markersize=12)
        scores.annotate(
            f"best, by peeking: {best[name]:.4g}",
            (best["steps"], best[name]),
            xytext=(0.98, 0.5),
            textcoords="axes fraction",
            ha="right",
            color=_SCORE_COLOUR,
        )
        scores.set_ylabel(f"{name} on the test set", color=_SCORE_COLOUR)
    figure.savefig(destination, format="png", dpi=_DOTS_PER_INCH)


def _number(value: float | None) -> float:
    """Return a number to draw; what is none leaves a gap."""
    return float("nan") if value is None else value
