"""The benchmark of selection's time and memory: what it measures, and what it makes of that."""

import json
import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.child import Ready, in_child
from benchmarks.report.pages import pages
from benchmarks.selection import __main__ as selection
from benchmarks.selection.budgets import choice_rows
from benchmarks.selection.ratios import exponents, ratios

ARGUMENTS = "--set digits --size 100 --budget 10 --seeds 1 --growth 50 --growth 100 --stream 12000"
HELD_SECONDS = 0.3  # many times as long as between two looks at the memory
TIMES = {"choose": 1.0, "warm": 0.01}  # seconds
COMPILING = {"compile_s": 0.5, "compile_cpu_s": 0.5}


def taking(ready: Ready, mebibytes: int) -> dict[str, Any]:
    """Take some memory, after some that does not count."""
    before = np.ones(10 * 2**17)
    ready()
    taken = np.ones(mebibytes * 2**17)
    time.sleep(HELD_SECONDS)
    return {"sum": float(before[0] + taken[0])}


def failing(_: Ready, error: type[Exception]) -> dict[str, Any]:
    """Fail."""
    raise error


def killing_itself(_: Ready, number: int) -> dict[str, Any]:
    """End by a signal."""
    os.kill(os.getpid(), number)
    return {}


def test_memory_counts_from_when_a_task_is_ready() -> None:
    """What it has imported and read before is not the method's."""
    found = in_child(taking, 64)
    assert found["sum"] == 2
    assert found["peak_mib"] == pytest.approx(64, abs=8)


def test_a_child_that_fails_says_so() -> None:
    """Memory that runs out is a result; so is whatever else ends the child."""
    assert in_child(failing, MemoryError)["error"] == "out of memory"
    assert in_child(failing, ValueError)["error"] == "exit code 1"
    assert in_child(killing_itself, signal.SIGKILL)["error"] == "ended by SIGKILL"
    assert in_child(killing_itself, signal.SIGRTMIN + 1)["error"].startswith("ended by signal ")


@pytest.mark.parametrize(
    ("free", "words"),
    [(2**40, "ended by SIGSEGV, with 11.9 GiB of"), (2**30, "needs 11.9 GiB, which are not free")],
)
def test_a_peer_that_ends_or_does_not_fit_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, free: int, words: str
) -> None:
    """Its similarities are those of all pairs."""
    memory = SimpleNamespace(available=free)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    monkeypatch.setattr(selection, "in_child", lambda *_: {"error": "ended by SIGSEGV"})
    row = selection.Bench("digits", [], 1).row("graph-cut", 40_000, 10, 0)
    assert row["error"].startswith(words)


def row(method: str, n: int, seed: int, seconds: float, **more: float) -> dict[str, Any]:
    """Return a measurement: set-up and choice in seconds, by both clocks."""
    times = {
        f"{name}_{clock}": value
        for clock in ("s", "cpu_s")
        for name, value in (TIMES | {"setup": seconds}).items()
    }
    return (
        {"method": method, "n": n, "seed": seed, "peak_mib": 10.0, "accuracy": 0.5} | times | more
    )


def test_ratios_are_of_medians() -> None:
    """Compiling is not counted; a warm sketch is set against a choice from given similarities."""
    rows = [
        *(
            row("facility-location", 100, seed, 9.5, peak_mib=100, accuracy=0.5, **COMPILING)
            for seed in range(3)
        ),
        *(row("ours", 100, seed, 1.0, accuracy=0.5 + seed / 100) for seed in range(3)),
    ]
    (found,) = ratios(rows)
    assert found["times_faster_cpu_s"] == pytest.approx(10 / 2)
    assert found["times_faster_warm_s"] == pytest.approx(0.5 / 0.01)
    assert found["memory_share"] == pytest.approx(0.1)
    assert found["our_gain"] == pytest.approx(1)
    assert found["our_gain_standard_error"] == pytest.approx(1 / np.sqrt(3))


def test_a_size_that_does_not_fit_has_no_ratio() -> None:
    """Nor does it bend the exponents."""
    rows = [row("ours", 100, 0, 1.0), {"method": "graph-cut", "n": 100, "error": "too large"}]
    assert ratios(rows) == []
    grown = [row("ours", n, 0, n**2 - 1.0, peak_mib=float(n)) for n in (5_000, 10_000, 20_000)]
    assert exponents([*grown, rows[1]]) == {"ours": {"cpu_s": 2.0, "peak_mib": 1.0}}


def test_exponents_are_of_what_grows() -> None:
    """Neither compiling nor what small sizes take bends them; one size alone has none."""
    sizes = (1_250, 2_500, 5_000, 10_000, 20_000)
    grown = [
        row("graph-cut", n, 0, n**2 - 0.5, **COMPILING) | {"peak_mib": max(n, 5_000)} for n in sizes
    ]
    assert exponents(grown) == {"graph-cut": {"cpu_s": 2.0, "peak_mib": 1.0}}
    assert exponents(grown[:3]) == {}


def test_each_choice_of_a_task_is_a_row() -> None:
    """With the set-up that they share; an error is that of each."""
    task = {"method": "graph-cut", "budget": [5, 10], "setup_s": 9.0, "peak_mib": 1.0}
    choices = [{"choose_s": 1.0}, {"choose_s": 2.0}]
    common = {"method": "graph-cut", "setup_s": 9.0}
    budgets = {0.1: 5, 0.2: 10}
    assert choice_rows(task | {"choices": choices}, budgets) == [
        common | {"choose_s": 1.0, "budget": 5, "share": 0.1},
        common | {"choose_s": 2.0, "budget": 10, "share": 0.2},
    ]
    failed = choice_rows({"method": "graph-cut", "budget": [5, 10], "error": "large"}, budgets)
    assert [(row["budget"], row["error"]) for row in failed] == [(5, "large"), (10, "large")]


def test_the_benchmark_compares_what_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each method at each size and budget, with a model trained on what it chose."""
    methods = {name: selection.METHODS[name] for name in ("graph-cut", "ours")}
    monkeypatch.setattr(selection, "METHODS", methods)  # the other one compiles for seconds
    by_budget = {name: selection.BY_BUDGET[name] for name in ("random", "graph-cut", "echo-paper")}
    monkeypatch.setattr(selection, "BY_BUDGET", by_budget)
    monkeypatch.setattr(selection, "SHARES", (0.01, 0.5))
    printed = CliRunner().invoke(selection.main, ARGUMENTS.split(), catch_exceptions=False).stdout
    records = [json.loads(line) for line in printed.splitlines()]
    found = {
        kind: [r for r in records if r["kind"] == kind] for kind in {r["kind"] for r in records}
    }
    (beside,) = found["cost-beside"]
    assert (beside["n"], beside["peer"]) == (100, "graph-cut")
    assert 0 < beside["accuracy"] < 100
    assert {(r["method"], *r["by_n"]) for r in found["cost-growth"]} == {
        (method, "50", "100") for method in methods
    }
    assert found["cost-stream"][0]["n"] == 12_000
    set_ups = {r["method"]: r.get("setup_s", 0) for r in found["cost-by-budget"]}
    assert list(set_ups) == [*by_budget, "ours, set-up and choice", "ours, chosen again"]
    assert set_ups["echo-paper"] > 0
    assert all(set(r["choice_s"]) == {"1%", "50%"} for r in found["cost-by-budget"])
    assert "cost-missing" not in found
    page = pages({}, records)["selection.md"]
    for expected in ("| graph-cut | 100 | 1 |", "| random | – |", "| echo-paper | "):
        assert expected in page
