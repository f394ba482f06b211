"""Ratios of what selections take, and how fast that grows."""

from typing import Any

import numpy as np

Row = dict[str, Any]


def ratios(rows: list[Row]) -> list[Row]:
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


def compared(theirs: list[Row], mine: list[Row]) -> Row:
    """Return the ratios of one peer's rows to ours, paired by seed.

    `times_faster` counts all of the set-up, `times_faster_warm` none: a greedy choice from
    similarities that are there against a snapshot of a sketch that is.
    """
    result: Row = {"n": theirs[0]["n"], "peer": theirs[0]["method"], "seeds": len(theirs)}
    for clock in ("s", "cpu_s"):
        whole = [r[f"setup_{clock}"] + chosen(r, clock) for r in theirs]
        our_whole = [r[f"setup_{clock}"] + r[f"choose_{clock}"] for r in mine]
        warm = [chosen(r, clock) for r in theirs]
        our_warm = [r[f"warm_{clock}"] for r in mine]
        result |= {
            f"{clock}": median(whole),
            f"our_{clock}": median(our_whole),
            f"times_faster_{clock}": median(whole) / median(our_whole),
            f"times_faster_warm_{clock}": median(warm) / median(our_warm),
            f"whole_to_our_warm_{clock}": median(whole) / median(our_warm),
        }
    result["memory_share"] = median([r["peak_mib"] for r in mine]) / median(
        [r["peak_mib"] for r in theirs]
    )
    accuracies = {r["seed"]: r["accuracy"] for r in theirs}
    gains = [100 * (r["accuracy"] - accuracies[r["seed"]]) for r in mine if r["seed"] in accuracies]
    error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else None
    return result | {
        "accuracy": 100 * float(np.mean(list(accuracies.values()))),
        "our_gain": float(np.mean(gains)),
        "our_gain_standard_error": None if error is None else float(error),
    }


def chosen(row: Row, clock: str) -> float:
    """Return the time of a peer's choice without that of compiling; no less than a thousandth."""
    return max(float(row[f"choose_{clock}"] - row[f"compile_{clock}"]), 1e-3)


def median(values: list[float]) -> float:
    """Return the median."""
    return float(np.median(values))


def exponents(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return the exponents with which time and memory grow with n: a fit of their logarithms."""
    found = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        here = [row for row in rows if row["method"] == method and "error" not in row]
        if len({row["n"] for row in here}) < 2:
            continue
        sizes = np.log([row["n"] for row in here])
        measures = {
            "cpu_s": [row["setup_cpu_s"] + row["choose_cpu_s"] for row in here],
            "peak_mib": [max(row["peak_mib"], 1) for row in here],
        }
        found[method] = {
            name: round(float(np.polyfit(sizes, np.log(values), 1)[0]), 2)
            for name, values in measures.items()
        }
    return found
