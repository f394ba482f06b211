"""The same recipe on the coreset, and on subsets as large."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from echo_stream.connectors.training.comparison import choose
from tests.support.commands import TINY, N, answer, refusal, run_command, write_data

QUICK = ("--model", "mlp", "--train-steps", 5, "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data.npz and a state built of it."""
    folder = tmp_path_factory.mktemp("compare")
    answer("build", write_data(folder / "data.npz"), "--state", folder / "state", *TINY)
    return folder


def test_subsets_are_as_large_as_what_the_model_has_used(folder: Path) -> None:
    """Labels and steps are equal, and each row has its accuracy."""
    data = folder / "data.npz"
    words = ("train", "--state", folder / "state", *QUICK, "--test", data, "--data", data)
    shown = answer(*words, "--compare", "random", "--compare", "balanced")
    rows = shown["comparison"]
    assert [row["subset"] for row in rows] == ["coreset", "random", "balanced"]
    assert {row["labels_used"] for row in rows} == {shown["labels_used"]}
    assert {row["steps"] for row in rows} == {5}
    assert rows[0]["accuracy"] == shown["accuracy"]
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    assert len({row["loss"] for row in rows}) == 3
    # Of the comparison no model is kept, nor the state of a training.
    assert not list((folder / "state" / "models").glob(".tmp-*"))


def test_a_table_for_people(folder: Path) -> None:
    """--format table prints the rows under each other."""
    data = folder / "data.npz"
    words = ("train", "--state", folder / "state", *QUICK, "--test", data, "--data", data)
    table = run_command(*words, "--compare", "random", "--format", "table").stdout
    assert [name for name in ("coreset", "random", "balanced") if name in table] == [
        "coreset", "random",
    ]  # fmt: skip
    assert "labels_used" in table
    alone = run_command(*words[:-2], "--format", "table").stdout
    assert "labels_used" in alone


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("--compare", "random"), 2, "--compare needs --data"),
        (("--compare", "random", "--data", "data.npz"), 2, "--test to test on"),
        (("--compare", "best"), 2, "'best' is not one of 'random', 'balanced'"),
        (
            ("--compare", "random", "--data", "few.npz", "--test", "data.npz"), 1,
            "labelled samples are needed to compare with; the data have 2",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    exit_code: int,
    said: str,
) -> None:
    """One line says what is missing."""
    monkeypatch.chdir(folder)
    write_data(folder / "few.npz", 3, y=np.array([0, np.nan, 1]))
    assert said in refusal("train", "--state", "state", *QUICK, *words, exit_code=exit_code)


def test_random_is_uniform_and_repeatable() -> None:
    """Another seed draws others; unlabelled rows are never drawn."""
    labels = [None if row % 3 == 0 else row % 2 for row in range(N)]
    first, again, other = (choose(labels, 40, "random", seed=seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()
    assert len(set(first.tolist())) == 40
    assert all(labels[row] is not None for row in first)


def test_balanced_takes_equally_many_of_each_class() -> None:
    """A class that has too few gives all, and the others the rest."""
    labels = ["a"] * 200 + ["b"] * 30 + ["c"] * 4
    rows = choose(labels, 24, "balanced", seed=3)
    assert Counter(labels[row] for row in rows) == {"a": 10, "b": 10, "c": 4}
    rows = choose(labels, 100, "balanced", seed=3)
    assert Counter(labels[row] for row in rows) == {"a": 66, "b": 30, "c": 4}
