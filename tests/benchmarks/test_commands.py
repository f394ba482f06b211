"""Every benchmark runs, at toy size; its numbers are for the machine that it is run on."""

import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.data import DataSet, banking, files
from benchmarks.selection import __main__ as selection
from benchmarks.speed import beginning, engine, http, kafka, losses, query
from benchmarks.streaming import drift, fidelity, regeneration, spreading
from benchmarks.streaming.batch_choice import batch_choice, claims
from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.config import Rank
from echo_stream.errors import SourceError
from tests.support.benchmarks.toy_files import write_idx
from tests.support.kafka.broker import Broker
from tests.support.strategies import clouds, codebook_generation, identity_generation


def run(command: click.Command, *arguments: str) -> dict[str, object]:
    """Run a benchmark and return what it prints."""
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert isinstance(printed, dict)
    return printed


@given(
    points=clouds(),
    budget=st.integers(1, 60),
    rank=st.sampled_from(["center", "uniform", "mixed"]),
    is_codebook=st.booleans(),
)
@settings(max_examples=50)
def test_the_batch_choice_is_the_one_of_fit(
    points: Array, budget: int, rank: Rank, *, is_codebook: bool
) -> None:
    """Where nothing is dropped the engine chooses what the benchmark sorts out by itself."""
    generation = (
        codebook_generation(np.unique(points[:5], axis=0))
        if is_codebook
        else identity_generation(points.shape[1], 2)
    )
    built = EchoCoreset(
        budget, preset="paper", rank=rank, support=len(points), generation=generation
    ).fit(points)
    assert set(claims(built.snapshot())) == batch_choice(generation, built.config, points)


def test_beginning_prints_a_table() -> None:
    """Each method has a row, with times and its ratio to k-means."""
    result = CliRunner().invoke(beginning.main, ["--samples", "30000"], catch_exceptions=False)
    rows = [line.strip("| ").split(" | ") for line in result.stdout.splitlines()]
    assert [row[1] for row in rows[2:]] == ["default", "MiniBatchKMeans"]
    assert all(float(number) > 0 for row in rows[2:] for number in row[2:])


def test_engine_measures_windows_of_a_stream() -> None:
    """Rates, survivors and the growth of time and state come out."""
    names = ("kernels", "adaptive", "grid", "codebook", "kmeans", "growth")
    rows = [word for name in names for word in ("--rows", name)]
    windows = ["--early", "11000", "13000", "--late", "14000", "20000"]
    printed = run(engine.main, *rows, "--dim", "3", *windows)
    rates = printed["D=3"]
    assert isinstance(rates, dict)
    assert rates["kernels"]["rate"] > 0
    for name in ("grid", "codebook"):
        assert rates[name]["early"]["rate"] > 0
        assert (
            rates[name]["early"]["survivors_per_1000"] > rates[name]["late"]["survivors_per_1000"]
        )
    assert min(rates["adaptive"][window]["rate"] for window in ("early", "late")) > 0
    assert rates["kmeans"].keys() == {"early", "late"}
    assert min(window["median"] for window in rates["kmeans"].values()) > 0
    growth = printed["growth"]
    assert isinstance(growth, dict)
    assert growth["state_bytes"] <= growth["bound_bytes"]


def test_fidelity_finds_no_wrong_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On each kind of file, in each order and number of shards."""
    monkeypatch.setattr(files, "is_authentic", lambda *_: True)  # toy files are nobody's
    monkeypatch.setattr(banking, "_difference", lambda *_: "")
    folders = toy_data(tmp_path)
    printed = run(fidelity.main, *map(str, folders), "--samples", "400")
    rows = printed["rows"]
    assert isinstance(rows, list)
    assert len(rows) == 7 * len(fidelity.QUANTISERS) * 2 * len(fidelity.SHARDS)
    assert {row["data"] for row in rows} == set(fidelity.BUDGETS)
    assert all(row["wrong"] == row["repaired_wrong"] == 0 for row in rows)
    assert all(row["repaired_equal"] == row["repaired_certified"] == 100 for row in rows)
    assert all(row["equal"] == 100 for row in rows if row["held_share"] == 1)


def test_losses_measures_both_objectives() -> None:
    """Whole steps, by the clock and in processor time."""
    printed = run(losses.main, "--steps", "2")
    for kind in ("clock", "processor"):
        measured = printed[kind]
        assert isinstance(measured, dict)
        assert measured["cross_entropy_ms"] > 0
        assert measured["ratio"] > 0


def toy_data(folder: Path) -> tuple[Path, Path]:
    """Write files of the benchmark's data sets, of random numbers; return its two folders."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, (500, 3)), rng.integers(0, 3, 500).astype(np.uint8)
    np.savez(folder / "skin.npz", x=x.astype(np.float32), y=y)
    np.savez(folder / "cover_odds.npz", x=x.astype(np.int16), y=y)
    z = x.astype(np.float16)
    np.savez(folder / "banking77_minilm.npz", x_train=z, y_train=y, x_test=z, y_test=y)
    write_idx(folder, rng.integers(0, 256, (500, 28, 28), dtype=np.uint8), y)
    return folder, folder


def test_query_is_timed() -> None:
    """Each question is answered, by the command and within the process."""
    found = run(query.main, "--rows", "3000", "--repeats", "1")
    assert found["rows"] == 3_000
    seconds = found["seconds"]
    assert isinstance(seconds, dict)
    for ways in seconds.values():
        assert 0 < ways["in_process"] < ways["command"]


def test_kafka_is_read_by_a_run_and_by_a_loop(broker: Broker) -> None:
    """Both count everything, both threads are profiled, and checkpoints are written meanwhile."""
    arguments = ["--messages", "9000", "--repeats", "1", "--profile", "2", "--budget", "20"]
    found = run(
        kafka.main, "--bootstrap-servers", broker.bootstrap, "--stall-budget", "50", *arguments
    )
    for size in ("256 bytes", "3072 bytes"):
        rates = found[size]
        assert isinstance(rates, dict)
        assert rates["messages"] == 9_000
        assert rates["run"]["rate"] > 0
        assert rates["poll"]["rate"] > 0
        assert {name: len(lines) for name, lines in rates["profile"].items()} == {
            "counts": 2, "polls": 2
        }  # fmt: skip
    for size in ("784 bytes", "3072 bytes"):
        stall = found[f"stall at {size}"]
        assert isinstance(stall, dict)
        assert 0 < stall["freeze_ms"] <= stall["freeze_max_ms"]


def test_http_counts_requests() -> None:
    """Every client's requests are counted."""
    printed = run(http.main, "--rows", "200", "--clients", "2", "--seconds", "0.2")
    assert isinstance(printed["requests"], int)
    assert printed["requests"] >= 2
    assert isinstance(printed["requests_per_s"], float)
    assert printed["requests_per_s"] > 0


def test_drift_scores_each_method_along_a_stream(tmp_path: Path) -> None:
    """Classes that are easily told apart are, by whatever has kept some of both."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    x = (rng.integers(0, 50, (400, 28, 28)) + 150 * y[:, None, None]).astype(np.uint8)
    stream = drift.Stream(x, y, lambda _: (x, y))
    scores = drift.over_time(stream, 40, points=2, steps=30, seed=0)
    assert list(scores) == list(drift.METHODS)
    assert all(len(values) == 2 for values in scores.values())
    assert scores["none"] == [0.5, 0.5]
    assert scores["last"] == [0.5, 0.5]
    assert all(scores[name][1] > 0.95 for name in ("reservoir", "coreset")), scores
    curves = {name: np.array([run]) for name, run in scores.items()}
    assert len(drift.table("toy", curves).splitlines()) == 2 + len(drift.METHODS)
    drift.draw({"toy": curves}, tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_spreading_scores_models_with_and_without() -> None:
    """Of clusters a label each says all, with what the engine holds; the table has every name."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 600)
    x = (rng.normal(size=(600, 8)) + 6 * np.eye(5, 8)[y]).astype(np.float32)
    data = DataSet("toy", x[:500], y[:500], x[500:], y[500:], "logistic", True)
    runs = {"10 labels": [spreading.in_one_pass(data, 10, seed) for seed in range(2)]}
    for found in runs["10 labels"]:
        assert 10 < found["samples held"] <= 500
        assert found["coreset: spread"] > 95
        assert found["coreset: EchoClassifier"] > 95
        assert found["coreset: spread, right of those found"] > 95
        assert found["coreset: scikit-learn's LabelSpreading"] > 95
    lines = spreading.table(runs).splitlines()
    assert len(lines) == 2 + len(runs["10 labels"][0])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (drift.main, []),
        (regeneration.main, []),
        (fidelity.main, ["."]),
        (spreading.main, []),
        (selection.main, ["--data"]),
    ],
)
def test_a_benchmark_without_its_data_says_how_to_get_it(
    tmp_path: Path, command: click.Command, words: list[str]
) -> None:
    """Before anything is measured."""
    result = CliRunner().invoke(command, [*words, str(tmp_path)])
    assert isinstance(result.exception, SourceError)
    assert str(result.exception).startswith("there is no ")
    assert any(how in str(result.exception) for how in ("; install Debian's", "; make banking77"))
    assert result.stdout == ""


def test_a_mistake_is_a_sentence_in_the_shell(tmp_path: Path) -> None:
    """And no traceback."""
    command = [sys.executable, "-m", "benchmarks.speed.fashion_mnist", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no ")
    assert "Traceback" not in done.stderr
