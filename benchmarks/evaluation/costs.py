"""The section on what a selection takes, of the JSON that `benchmarks.selection` prints."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evaluation.budget_table import budget_table
from benchmarks.evaluation.floor_table import floor_table
from benchmarks.evaluation.machine import machine_in_words, shared_lines
from benchmarks.evaluation.revisions import revised
from benchmarks.evaluation.scores import MET, MISSED, MISSING, Spread
from benchmarks.evaluation.tables import markdown, row_text
from benchmarks.selection_ratios import FITTED_FROM, exponents, in_all
from echo_stream.connectors.files.errors import naming
from echo_stream.errors import SourceError

COSTS = "selection/costs"  # the section's name
TITLE = "Time and memory of a selection"
CALL = "python -m benchmarks.selection --data DIR"
KEYS = {"machine", "data", "budget", "compared", "growth", "stream", "by_budget"}
PEER, NUM_SAMPLES, BUDGET = "facility-location", 20_000, 500  # of the floors
MET_BY_MEDIANS = "met by its medians"
TIMES_FASTER, TIMES_FASTER_AGAIN, MEMORY_SHARE = 5, 100, 0.1  # what they ask

Row = Mapping[str, Any]


def read_costs(path: Path) -> dict[str, Any]:
    """Return what `benchmarks.selection` has printed into a file.

    Raises
    ------
    SourceError
        If there is no such file, or another one.
    DataError
        If it is no JSON.
    """
    with naming(path):
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(found, dict) and found.keys() >= KEYS):
            msg = f"not what `{CALL}` prints; write it by that"
            raise SourceError(msg)
    return found


def costs_section(result: Mapping[str, Any]) -> str:
    """Return the section, in Markdown.

    Parameters
    ----------
    result : mapping
        What `benchmarks.selection` has printed.
    """
    budget, data = result["budget"], result["data"]
    parts = [
        f"### {TITLE}\n",
        f"On {data}; `{CALL}` measures it, on {machine_in_words(result['machine'])}.\n",
        "".join(shared_lines([result["machine"]]) + revised(result.get("revisions", {}))),
        "Facility location and graph cut are apricot-select's, lazy where it can be; their set-up "
        "is the principal components, as ours has, and the matrix of all similarities. Ours begins "
        "with nothing: encoder, codebook and pools are its set-up. Memory is the most that was in "
        "use beyond what was there before; just before, a process has used as much as similarities "
        "take, and given it back: the first to touch memory of a virtual machine may wait longer "
        "for that than for anything else. Times and memory beside a peer are "
        "medians over seeds, accuracies are means, of models that are trained with the structural "
        "loss, without weights, gradients cut to a length of 5; what grows with the number of "
        "samples is of one seed. What apricot-select spends on compiling is left "
        "out. Graph cut has the library's default weight, which leaves it next to no redundancy "
        "to avoid: it is here for its time, and *balanced* in the tables of quality.\n",
        _compared(result["compared"], budget),
        f"Ours beside each peer, {budget:,} samples to choose. *Again* leaves all set-up out: a "
        "greedy choice from similarities that are there, and a snapshot of a sketch that is.\n",
        budget_table(result["by_budget"]),
        _grown(result["growth"]),
        _streamed(result["stream"]),
    ]
    if rows := _floor_rows(result):
        parts.append(floor_table(rows))
    return "\n".join(parts)


def _compared(rows: Sequence[Row], budget: int) -> str:
    """Return the table of ratios, by peer and number of samples."""
    head = [
        f"{budget:,} to choose", "it, s", "ours, s", "times faster", "again, times faster",
        "again, in processor time", "memory, share", "it, accuracy, %", "ours, points more",
    ]  # fmt: skip
    body = [
        [
            f"{row['peer']}, {row['n']:,} samples, seeds: {row['seeds']}",
            f"{row['s']:.1f}",
            f"{row['our_s']:.1f}",
            f"{row['times_faster_s']:.1f}",
            f"{row['times_faster_warm_s']:.1f}",
            f"{row['times_faster_warm_cpu_s']:.1f}",
            f"{row['memory_share']:.3f}",
            f"{row['accuracy']:.1f}",
            _gain(row).text(sign="+"),
        ]
        for row in rows
    ]
    return markdown(head, body)


def _grown(rows: Sequence[Row]) -> str:
    """Return the tables of time and of memory by number of samples, and their exponents."""
    sizes = sorted({row["n"] for row in rows})
    fitted = exponents(rows)
    measures: dict[str, tuple[str, int, Callable[[Row], float]]] = {
        "cpu_s": ("processor time, s", 1, lambda row: in_all(row, "cpu_s")),
        "peak_mib": ("memory, MiB", 0, lambda row: float(row["peak_mib"])),
    }
    tables = []
    for key, (words, digits, measure) in measures.items():
        body = []
        for method in dict.fromkeys(row["method"] for row in rows):
            found = {r["n"]: measure(r) for r in rows if r["method"] == method and "error" not in r}
            last = f"{fitted[method][key]:.2f}" if method in fitted else MISSING
            body.append([method, *_cells(found, sizes, digits), last])
        head = [words, *(f"{n:,}" for n in sizes), f"exponent from {FITTED_FROM:,}"]
        tables.append(markdown(head, body))
    return "\n".join([*tables, _grown_remarks(rows)])


def _grown_remarks(rows: Sequence[Row]) -> str:
    """Return what the exponents are, and what was not measured."""
    fit = (
        "Set-up and choice. An exponent is that of n in a fit of the row's numbers from "
        f"{FITTED_FROM:,} samples on: below, what does not grow with them hides what does.\n"
    )
    errors = dict.fromkeys(
        f"{row['method']} of {row['n']:,}: {row['error']}" for row in rows if "error" in row
    )
    return "\n".join([fit, f"Not measured: {'; '.join(errors)}.\n"] if errors else [fit])


def _streamed(row: Row) -> str:
    """Return what a long stream took, in a sentence."""
    if "error" in row:
        return f"One pass over {row['n']:,} samples of a stream was not measured: {row['error']}.\n"
    each = 1e6 * row["setup_s"] / row["n"]
    return (
        f"One pass over {row['n']:,} samples of a stream took {row['setup_s']:.0f} s, "
        f"{each:.0f} µs each, {row['peak_mib']:,.0f} MiB, and a snapshot of it "
        f"{row['choose_s']:.2f} s.\n"
    )


def _floor_rows(result: Mapping[str, Any]) -> list[str]:
    """Return the rows of the floors, where what they are about was measured."""
    compared = [r for r in result["compared"] if (r["peer"], r["n"]) == (PEER, NUM_SAMPLES)]
    if result["budget"] != BUDGET or not compared:
        return []
    (row,) = compared
    share, gain = row["memory_share"], _gain(row)
    ratios = {
        "times faster": (TIMES_FASTER, "times_faster_s"),
        "times faster again": (TIMES_FASTER_AGAIN, "times_faster_warm_s"),
        "the same in processor time": (TIMES_FASTER_AGAIN, "times_faster_warm_cpu_s"),
    }
    judged: list[tuple[str, object, str, str]] = [
        (text, asked, *_ratio(row, name, asked)) for text, (asked, name) in ratios.items()
    ]
    is_small = share <= MEMORY_SHARE
    judged += [
        ("share of its memory, at most", MEMORY_SHARE, f"{share:.3f}", MET if is_small else MISSED),
        ("models no worse, points", "+0", gain.text(digits=2, sign="+"), gain.judged(0)),
    ]
    where = f"Beside facility location, {NUM_SAMPLES:,} samples, {BUDGET} to choose"
    seeds = str(row["seeds"])
    return [
        row_text([f"{where}: {text}", f"{asked}", reached, seeds, word])
        for text, asked, reached, word in judged
    ]


def _ratio(row: Row, name: str, asked: float) -> tuple[str, str]:
    """Return a ratio with what it is for single seeds, and whether a floor is met."""
    found, (least, most) = row[name], row[f"{name}_span"]
    word = MISSED if found < asked else MET if least >= asked else MET_BY_MEDIANS
    return f"{found:.1f} ({least:.1f} to {most:.1f})", word


def _gain(row: Row) -> Spread:
    """Return how many points ours is better, with the standard error if there is one."""
    return Spread(row["our_gain"], row["our_gain_standard_error"] or 0.0, row["seeds"])


def _cells(found: Mapping[Any, float], keys: Sequence[Any], digits: int) -> list[str]:
    """Return a row's numbers, a dash where there is none."""
    return [f"{found[key]:,.{digits}f}" if key in found else MISSING for key in keys]
