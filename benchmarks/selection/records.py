"""What a selection takes as records, see `benchmarks.report.records`.

cost-beside
    Ours beside a `peer`, of `n` samples: see `benchmarks.selection.ratios.compared`.
cost-by-budget
    By `method` the seconds of its set-up, `setup_s`, and of a choice at each budget, `choice_s`.
cost-growth
    By `method` and `measure` the numbers `by_n`, and the `exponent` that is fitted to them.
cost-missing
    What was not measured, and the `error` that says why.
cost-stream
    What one pass over a long stream takes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from benchmarks.evaluation.machine import machine_in_words, others_in_words
from benchmarks.report.aggregate import DIGITS, Difference
from benchmarks.report.records import Record
from benchmarks.selection.ratios import chosen, exponents, in_all

PLAN, GROUP = "selection", "costs"
PEER, NUM_SAMPLES, BUDGET = "facility-location", 20_000, 500  # of the floors
FASTER = {  # what is asked, by the ratio that it is asked of
    "times_faster_s": ("times faster, all set-up counted", 5),
    "times_faster_warm_s": ("times faster, choosing again", 100),
    "times_faster_warm_cpu_s": ("times faster, choosing again, in processor time", 100),
}
MEMORY_SHARE = 0.1
CLOCK_DIGITS = 4

Result = Mapping[str, Any]


def cost_records(result: Result) -> list[Record]:
    """Return the records of a measurement.

    Parameters
    ----------
    result : mapping
        `machine`, `revisions`, the name of the `data`, the `budget`, and rows: `compared` with
        the peers, `growth`, `by_budget`, and that of the `stream`.
    """
    parts = (_measured(result), _by_budget(result), _growth(result), _floors(result))
    records = [record for part in parts for record in part]
    place = {"plan": PLAN, "group": GROUP}
    return [{"kind": record["kind"]} | place | _rounded(record) for record in records]


def _measured(result: Result) -> Iterator[Record]:
    """Yield where it was measured, the peers, and the long stream."""
    machine, row = result["machine"], result["stream"]
    yield {
        "kind": "run",
        "data": result["data"],
        "budget": result["budget"],
        "machines": {machine_in_words(machine): 1},
        "packages": others_in_words(machine),
        "commits": [machine["commit"]] if "commit" in machine else [],
        "revisions": result.get("revisions", {}),
    }
    yield from ({"kind": "cost-beside"} | row for row in result["compared"])
    if "error" not in row:
        told = {"seconds": row["setup_s"], "us_each": 1e6 * row["setup_s"] / row["n"]}
        told |= {"peak_mib": row["peak_mib"], "snapshot_s": row["choose_s"]}
        yield {"kind": "cost-stream", "n": row["n"]} | told
    for lost in (*result["growth"], {"method": "one pass"} | row):
        if "error" in lost:
            yield {"kind": "cost-missing"} | {key: lost[key] for key in ("method", "n", "error")}


def _by_budget(result: Result) -> Iterator[Record]:
    """Yield what choices take by budget, medians over seeds, as in the paper's Table II."""
    known = [row for row in result["by_budget"] if "error" not in row]
    rows = [
        row | {"choice": in_all(row, "s") if row["method"] == "ours" else chosen(row, "s")}
        for row in known  # ours has a set-up for each budget
    ]
    again = [
        row | {"method": "ours, chosen again", "choice": row["warm_s"], "setup_s": None}
        for row in rows
        if row["method"] == "ours"
    ]
    frame = pd.DataFrame([*rows, *again])
    for method, part in frame.groupby("method", sort=False):
        choices = part.groupby("share")["choice"].median().round(CLOCK_DIGITS)
        setup = part["setup_s"].median() if method != "ours" else float("nan")
        yield {
            "kind": "cost-by-budget",
            "method": "ours, set-up and choice" if method == "ours" else method,
            "n": int(part["n"].iloc[0]),
            "seeds": part["seed"].nunique(),
            "setup_s": None if pd.isna(setup) else setup,
            "choice_s": {f"{100 * share:g}%": seconds for share, seconds in choices.items()},
        }


def _growth(result: Result) -> Iterator[Record]:
    """Yield how time and memory grow with the number of samples."""
    fitted = exponents(result["growth"])
    rows = [row | {"cpu_s": in_all(row, "cpu_s")} for row in result["growth"] if "error" not in row]
    for measure in ("cpu_s", "peak_mib"):
        for method, part in pd.DataFrame(rows).groupby("method", sort=False):
            numbers = part.set_index("n")[measure].round(DIGITS)
            told = {"kind": "cost-growth", "method": method, "measure": measure}
            told |= {"by_n": {str(n): number for n, number in numbers.items()}}
            yield told | {"exponent": fitted.get(method, {}).get(measure)}


def _floors(result: Result) -> Iterator[Record]:
    """Yield what was asked beside facility location, and reached."""
    for row in result["compared"]:
        if (row["peer"], row["n"], result["budget"]) != (PEER, NUM_SAMPLES, BUDGET):
            continue
        what = {"kind": "floor", "selector": "coreset", "against": "facility location"}
        what |= {"seeds": row["seeds"]}
        where = f"{BUDGET} of {NUM_SAMPLES:,} samples"
        for name, (words, asked) in FASTER.items():
            least, most = row[f"{name}_span"]
            told = {"reached": row[name], "least": least, "most": most, "asked": asked}
            met = "met" if least >= asked else "met by its medians"
            told |= {"verdict": met if row[name] >= asked else "missed"}
            yield what | {"text": f"{where}: {words}"} | told
        share = row["memory_share"]
        told = {"asked": MEMORY_SHARE, "at_most": True, "reached": share}
        told |= {"verdict": "met" if share <= MEMORY_SHARE else "missed"}
        yield what | {"text": f"{where}: share of the memory"} | told
        gain = Difference(row["our_gain"], row["our_gain_standard_error"] or 0.0, row["seeds"])
        told = {"asked": 0, "reached": gain.mean, "error": gain.error, "verdict": gain.verdict(0)}
        yield what | {"text": f"{where}: accuracy of models, points more"} | told


def _rounded(record: Record) -> Record:
    """Return a record with the digits that are told, without what is not known."""
    return {
        key: round(value, CLOCK_DIGITS) if isinstance(value, float) else value
        for key, value in record.items()
        if value is not None and not key.endswith("_span")
    }
