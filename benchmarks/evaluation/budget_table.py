"""The table of what choices take by budget, as the paper's Table II."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.evaluation.scores import MISSING
from benchmarks.evaluation.tables import budget_name, markdown
from benchmarks.selection_ratios import chosen, in_all

OURS = "ours"
SHORT = 0.01  # seconds; a row with fewer has a digit more
NOTE = (
    "As the paper's Table II, medians over seeds: the set-up once, and a choice at each budget. "
    "*random* draws. *echo-paper* is the paper's method: its encoder and grid are the set-up, and "
    "a choice counts all samples into the grid's cells. Ours by default has a set-up for each "
    "budget, since it has a cell for each slot.\n"
)

Row = Mapping[str, Any]


def budget_table(rows: Sequence[Row]) -> str:
    """Return the table of seconds by budget, and what it is.

    Parameters
    ----------
    rows : sequence of mapping
        `by_budget` of what `benchmarks.selection` has printed.
    """
    shares = list(dict.fromkeys(row["share"] for row in rows))
    seeds = len({row.get("seed") for row in rows})
    head = [
        f"{rows[0]['n']:,} samples, seeds: {seeds}: s",
        "set-up",
        *(budget_name(f"{100 * share:g}%") for share in shares),
    ]
    body = []
    for method in dict.fromkeys(row["method"] for row in rows):
        here = [row for row in rows if row["method"] == method and "error" not in row]
        by_share = [[row for row in here if row["share"] == share] for share in shares]
        body += _ours(by_share) if method == OURS else [_other(method, here, by_share)]
    return f"{markdown(head, body)}\n{NOTE}"


def _ours(by_share: Sequence[Sequence[Row]]) -> list[list[str]]:
    """Return the rows of ours: built for each budget, and chosen again."""
    built = _medians([in_all(row, "s") for row in rows] for rows in by_share)
    again = _medians([row["warm_s"] for row in rows] for rows in by_share)
    return [
        [f"{OURS}, set-up and choice", MISSING, *_cells(built)],
        [f"{OURS}, chosen again", MISSING, *_cells(again)],
    ]


def _other(method: str, rows: Sequence[Row], by_share: Sequence[Sequence[Row]]) -> list[str]:
    """Return the row of a method that is set up once, or needs not be."""
    set_up = _medians([[row["setup_s"] for row in rows if "setup_s" in row]])
    choices = _medians([chosen(row, "s") for row in here] for here in by_share)
    return [method, *_cells(set_up), *_cells(choices)]


def _medians(values: Iterable[Sequence[float]]) -> list[float | None]:
    """Return the median of each; None of nothing."""
    return [float(np.median(each)) if each else None for each in values]


def _cells(values: Sequence[float | None]) -> list[str]:
    """Return seconds as text, a dash where there are none."""
    digits = 4 if any(value is not None and value < SHORT for value in values) else 3
    return [MISSING if value is None else f"{value:,.{digits}f}" for value in values]
