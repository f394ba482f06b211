"""The section on what a selection takes, beside the groups of a report."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.evaluation.costs import COSTS, costs_section, read_costs
from benchmarks.evaluation.fences import read_sections
from benchmarks.evaluation.plan_files import read_plan
from benchmarks.evaluation.results import appending
from benchmarks.quality import main
from echo_stream.errors import EchoStreamError
from tests.benchmarks.made_lines import MACHINE, line

FLOORS = Path(__file__).parents[2] / "benchmarks" / "plans" / "floors.toml"
BESIDE = "Beside facility location, 20,000 samples, 500 to choose"


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


def test_a_section_has_ratios_growth_and_floors() -> None:
    """What does not fit is a dash, and said; a floor just missed is missed."""
    found = costs_section(made())
    for expected in (
        "on 2 cores of Abacus, training on cpu, Python 3.11, torch 2.0.",
        "| facility-location, 20,000 samples, seeds: 3 | 60.0 | 6.0 | 10.0 | 99.7 | 100.4 | 0.050 |"
        " 80.0 | -0.2 ± 0.3 |",
        "| 20,000 samples, seeds: 3: s | set-up | 0.1 % | 50 % |",
        "| random | – | 0.0004 | 0.0004 |",
        "| facility-location | – | – | – |",
        "| graph-cut | 5.000 | 0.500 | 0.500 |",
        "| ours, set-up and choice | – | 5.500 | 5.500 |",
        "| ours, chosen again | – | 0.050 | 0.050 |",
        "| processor time, s | 1,000 | 6,000 | 60,000 | exponent from 5,000 |",
        "| graph-cut | 2.2 | – | – | – |",
        "| ours | 1.1 | 3.3 | 33.0 | 1.00 |",
        "Not measured: graph-cut of 60,000: needs 26.8 GiB, which are not free.",
        "1,000,000 samples of a stream took 20 s, 20 µs each, 2,000 MiB, and a snapshot of it 0.25",
        f"| {BESIDE}: times faster | 5 | 10.0 (9.0 to 11.0) | 3 | met |",
        f"| {BESIDE}: times faster again | 100 | 99.7 (98.0 to 101.0) | 3 | **missed** |",
        f"| {BESIDE}: the same in processor time | 100 | 100.4 (99.0 to 104.0) | 3 | met by its"
        " medians |",
        f"| {BESIDE}: share of its memory, at most | 0.1 | 0.050 | 3 | met |",
        f"| {BESIDE}: models no worse, points | +0 | -0.20 ± 0.30 | 3 | met by its error |",
    ):
        assert expected in found


def test_a_section_tells_its_code() -> None:
    """Beside the versions of what the selectors need, and the revisions of ours."""
    packages = {"torch": "2.0", "numba": "0.6"}
    machine = MACHINE | {"commit": "3921cbf", "packages": packages}
    found = costs_section(made() | {"machine": machine, "revisions": {"echo": 2}})
    assert "torch 2.0.\n\n- other packages: numba 0.6\n- commits: 3921cbf\n- revisions" in found


def test_a_stream_that_failed_is_said() -> None:
    """As what else has no numbers."""
    found = costs_section(made() | {"stream": {"n": 2_000, "error": "out of memory"}})
    assert "over 2,000 samples of a stream was not measured: out of memory." in found


def test_floors_are_of_what_they_are_about() -> None:
    """Other numbers of samples, or another budget, have none; each can be missed."""
    assert BESIDE not in costs_section(made(n=10_000))
    assert BESIDE not in costs_section(made() | {"budget": 100})
    missed = costs_section(made(times_faster_s=4.9, memory_share=0.2, our_gain=-0.5))
    assert missed.count("**missed**") == 4


def reported(tmp_path: Path, *more: str) -> str:
    """Return a report of one trial, made with more arguments."""
    results, out = tmp_path / "results.jsonl", tmp_path / "benchmarks.md"
    if not results.exists():
        with appending(results) as lines:
            trial = next(iter(read_plan(FLOORS).trials()))
            lines.append(line(trial, 0.5))
    arguments = ["report", str(results), "--out", str(out), *more]
    CliRunner().invoke(main, arguments, catch_exceptions=False)
    return out.read_text(encoding="utf-8")


def test_a_report_keeps_the_section(tmp_path: Path) -> None:
    """It comes with --costs, with its floors at the top, and stays without."""
    costs = tmp_path / "costs.json"
    costs.write_text(json.dumps(made()), encoding="utf-8")
    assert COSTS not in reported(tmp_path)
    found = reported(tmp_path, "--costs", str(costs))
    assert found.partition("## Floors")[0].count(BESIDE) == 5
    assert read_sections(tmp_path / "benchmarks.md")[COSTS].startswith("### Time and memory")
    assert reported(tmp_path) == found
    costs.write_text(json.dumps(made(seeds=9)), encoding="utf-8")
    assert "| 10.0 (9.0 to 11.0) | 9 | met |" in reported(tmp_path, "--costs", str(costs))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("{", "damaged, or not what its suffix says"),
        ("[]", r"not what `python -m benchmarks\.selection"),
        ('{"by_budget": []}', r"not what `python -m benchmarks\.selection"),
    ],
)
def test_what_is_no_measurement_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    """In a line that names the file."""
    path = tmp_path / "costs.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(EchoStreamError, match=rf"costs\.json: {words}"):
        read_costs(path)
