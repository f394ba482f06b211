"""Ratios of what selections take, and how fast that grows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FITTED_FROM = 5_000  # samples; below, what does not grow with them hides what does

Row = Mapping[str, Any]


def ratios(rows: Sequence[Row]) -> list[Row]:
    """Return how ours compares with each peer, for each number of samples.

    Medians over seeds. The library's compiling is left out of its time.
    """
    found = []
    for n in sorted({row["n"] for row in rows}):
        here = [row for row in rows if row["n"] == n and "error" not in row]
        by_method = {
            row["method"]: [r for r in here if r["method"] == row["method"]] for row in here
        }
        mine = by_method.pop("ours")
        found += [compared(theirs, mine) for theirs in by_method.values()]
    return found


def compared(theirs: Sequence[Row], mine: Sequence[Row]) -> Row:
    """Return the ratios of one peer's rows to ours, paired by seed.

    `times_faster` counts all of the set-up, `times_faster_warm` none: a greedy choice from
    similarities that are there against a snapshot of a sketch that is. `span` has the least
    and the largest of the same for one seed.
    """
    first = theirs[0]
    result: dict[str, Any] = {"n": first["n"], "peer": first["method"], "seeds": len(theirs)}
    mine = [row for row in mine if row["seed"] in {r["seed"] for r in theirs}]
    for clock in ("s", "cpu_s"):
        whole = [in_all(r, clock) for r in theirs]
        our_whole = [in_all(r, clock) for r in mine]
        warm = [chosen(r, clock) for r in theirs]
        our_warm = [r[f"warm_{clock}"] for r in mine]
        result |= {
            f"{clock}": median(whole),
            f"our_{clock}": median(our_whole),
            f"times_faster_{clock}": median(whole) / median(our_whole),
            f"times_faster_warm_{clock}": median(warm) / median(our_warm),
            f"times_faster_{clock}_span": span(whole, our_whole),
            f"times_faster_warm_{clock}_span": span(warm, our_warm),
        }
    result["memory_share"] = median([r["peak_mib"] for r in mine]) / median(
        [r["peak_mib"] for r in theirs]
    )
    accuracies = {r["seed"]: r["accuracy"] for r in theirs}
    gains = [100 * (r["accuracy"] - accuracies[r["seed"]]) for r in mine]
    error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else None
    return result | {
        "accuracy": 100 * float(np.mean(list(accuracies.values()))),
        "our_gain": float(np.mean(gains)),
        "our_gain_standard_error": None if error is None else float(error),
    }


def span(theirs: Sequence[float], mine: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest of the ratios of pairs."""
    pairs = [their / my for their, my in zip(theirs, mine, strict=True)]
    return min(pairs), max(pairs)


def in_all(row: Row, clock: str) -> float:
    """Return the time of set-up and choice, without that of compiling."""
    return float(row[f"setup_{clock}"] + chosen(row, clock))


def chosen(row: Row, clock: str) -> float:
    """Return the time of a choice; where compiling is a part, without it, at least a thousandth."""
    seconds = float(row[f"choose_{clock}"])
    compiling = row.get(f"compile_{clock}")
    return seconds if compiling is None else max(seconds - compiling, 1e-3)


def median(values: list[float]) -> float:
    """Return the median."""
    return float(np.median(values))


def exponents(
    rows: Sequence[Row], *, fitted_from: int = FITTED_FROM
) -> dict[str, dict[str, float]]:
    """Return the exponents with which time and memory grow with n: a fit of their logarithms.

    By method, of those with two sizes or more from *fitted_from* on. Time is that of `in_all`.
    """
    fitted = [row for row in rows if "error" not in row and row["n"] >= fitted_from]
    found = {}
    for method in dict.fromkeys(row["method"] for row in fitted):
        here = [row for row in fitted if row["method"] == method]
        if len({row["n"] for row in here}) < 2:
            continue
        sizes = np.log([row["n"] for row in here])
        measures = {
            "cpu_s": [in_all(row, "cpu_s") for row in here],
            "peak_mib": [max(row["peak_mib"], 1) for row in here],
        }
        found[method] = {
            name: round(float(np.polyfit(sizes, np.log(values), 1)[0]), 2)
            for name, values in measures.items()
        }
    return found
