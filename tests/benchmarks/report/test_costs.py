"""Records and the page of what a selection takes."""

from pathlib import Path
from typing import Any

from click.testing import CliRunner

from benchmarks.quality import main
from benchmarks.report.pages import pages
from benchmarks.report.records import read_records, write_records
from benchmarks.selection.records import cost_records
from echo_stream.errors import SourceError
from tests.support.benchmarks.made_lines import MACHINE

BESIDE = "500 of 20,000 samples"


def row(method: str, n: int, seconds: float, **more: Any) -> dict[str, Any]:
    """Return what one selection took: a set-up of some seconds, and a tenth of it to choose."""
    times = {"setup": seconds, "choose": seconds / 10}
    times |= {"warm": seconds / 100} if method == "ours" else {"compile": 0.0}
    clocks = {f"{name}_{clock}": value for name, value in times.items() for clock in ("s", "cpu_s")}
    return {"method": method, "n": n, "peak_mib": 100 * seconds, **clocks, **more}


def made(**compared: Any) -> dict[str, Any]:
    """Return what `benchmarks.selection` prints, with other numbers beside facility location."""
    beside = {
        "peer": "facility-location", "n": 20_000, "seeds": 3, "s": 60.0, "our_s": 6.0,
        "times_faster_s": 10.0, "times_faster_warm_s": 99.7, "times_faster_warm_cpu_s": 100.4,
        "times_faster_s_span": [9.0, 11.0], "times_faster_warm_s_span": [98.0, 101.0],
        "times_faster_warm_cpu_s_span": [99.0, 104.0],
        "memory_share": 0.05,
        "accuracy": 80.0, "our_gain": -0.2, "our_gain_standard_error": 0.3,
    }  # fmt: skip
    return {
        "machine": MACHINE,
        "data": "fashion-mnist",
        "budget": 500,
        "compared": [beside | compared],
        "growth": [
            row("graph-cut", 1_000, 2.0),
            {"method": "graph-cut", "n": 60_000, "error": "needs 26.8 GiB, which are not free"},
            row("ours", 1_000, 1.0),
            row("ours", 6_000, 3.0),
            row("ours", 60_000, 30.0),
        ],
        "stream": row("ours", 1_000_000, 20.0, choose_s=0.25),
        "by_budget": [
            found
            for seed, seconds in enumerate((4.0, 5.0, 90.0))
            for share in (0.001, 0.5)
            for found in (
                {"method": "random", "n": 20_000, "seed": seed, "share": share, "choose_s": 4e-4},
                {"method": "facility-location", "n": 20_000, "seed": seed, "share": share}
                | {"error": "needs 3.0 GiB, which are not free"},
                row("graph-cut", 20_000, seconds, share=share, seed=seed),
                row("ours", 20_000, seconds, share=share, seed=seed),
            )
        ],
    }


def page_of(result: dict[str, Any]) -> str:
    """Return the page of a measurement."""
    return pages({}, cost_records(result))["selection.md"]


def verdicts(result: dict[str, Any]) -> list[str]:
    """Return which floors are met."""
    return [r["verdict"] for r in cost_records(result) if r["kind"] == "floor"]


def test_a_page_has_ratios_growth_and_floors() -> None:
    """What does not fit is a dash, and said; a floor just missed is missed."""
    found = page_of(made())
    for expected in (
        "- 2 cores of Abacus, training on cpu, Python 3.11, torch 2.0\n",
        "| facility-location | 20,000 | 3 | 60.0 | 6.0 | 10.0 | 99.7 | 100.4 | 0.050 |"
        " 80.0 | -0.2 ± 0.3 |",
        "Seconds, of 20,000 samples, medians over 3 seeds",
        "| method | set-up | 0.1 % | 50 % |",
        "| random | – | 0.0004 | 0.0004 |",
        "| graph-cut | 5.000 | 0.500 | 0.500 |",
        "| ours, set-up and choice | – | 5.500 | 5.500 |",
        "| ours, chosen again | – | 0.050 | 0.050 |",
        "| processor time, s | 1,000 | 6,000 | 60,000 | exponent |",
        "| graph-cut | 2.2 | – | – | – |",
        "| ours | 1.1 | 3.3 | 33.0 | 1.00 |",
        "Not measured: graph-cut of 60,000 samples: needs 26.8 GiB, which are not free.",
        "1,000,000 samples of a stream took 20 s, 20 µs each, and 2000 MiB; a snapshot of it took"
        " 0.25 s.",
        f"| {BESIDE}: times faster, all set-up counted | coreset |  | ≥ 5 | 10.0 (9.0 to 11.0) | 3"
        " | met |",
        f"| {BESIDE}: times faster, choosing again | coreset |  | ≥ 100 | 99.7 (98.0 to 101.0) | 3"
        " | **missed** |",
        "| ≥ 100 | 100.4 (99.0 to 104.0) | 3 | met by its medians |",
        f"| {BESIDE}: share of the memory | coreset |  | ≤ 0.1 | 0.050 | 3 | met |",
        "| ≥ 0 | -0.20 ± 0.30 | 3 | met by its error |",
    ):
        assert expected in found


def test_a_page_tells_its_code() -> None:
    """Beside the versions of what the selectors need."""
    packages = {"torch": "2.0", "numba": "0.6"}
    machine = MACHINE | {"commit": "3921cbf", "packages": packages}
    found = page_of(made() | {"machine": machine})
    assert "torch 2.0\n- packages of selectors: numba 0.6\n- commit: 3921cbf\n" in found


def test_a_stream_that_failed_is_said() -> None:
    """As what else has no numbers."""
    found = page_of(made() | {"stream": {"n": 2_000, "error": "out of memory"}})
    assert "Not measured: one pass of 2,000 samples: out of memory." in found


def test_floors_are_of_what_they_are_about() -> None:
    """Other numbers of samples, or another budget, have none; each can be missed."""
    assert verdicts(made(n=10_000)) == []
    assert verdicts(made() | {"budget": 100}) == []
    missed = made(times_faster_s=4.9, memory_share=0.2, our_gain=-0.5)
    assert verdicts(missed).count("missed") == 4


def test_costs_come_into_the_records_and_stay(tmp_path: Path) -> None:
    """With --costs, alone or beside results; new ones take the place of the old."""
    costs, records, out = (tmp_path / name for name in ("costs.jsonl", "records.jsonl", "pages"))
    call = ["report", "--costs", str(costs), "--records", str(records), "--out", str(out)]
    for seeds in (3, 9):
        write_records(costs, cost_records(made(seeds=seeds)))
        CliRunner().invoke(main, call, catch_exceptions=False)
        text = (out / "selection.md").read_text(encoding="utf-8")
        assert f"| ≥ 5 | 10.0 (9.0 to 11.0) | {seeds} | met |" in text
    assert sum(record["kind"] == "run" for record in read_records(records)) == 1


def test_costs_that_are_not_there_are_named(tmp_path: Path) -> None:
    """As files of results are."""
    result = CliRunner().invoke(main, ["report", "--costs", str(tmp_path / "none.jsonl")])
    assert isinstance(result.exception, SourceError)
    assert "none.jsonl; give files" in str(result.exception)
