"""`echo-stream forget`: a sample goes, and whatever still holds it is named."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import TINY, N, answer, refusal, units, write_data


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state with two checkpoints, a snapshot and a model."""
    data = write_data(tmp_path / "data.npz")
    state = tmp_path / "state"
    run = ("run", data, "--state", state, *TINY, "--warmup", 100)
    answer(*run, "--max-samples", 200)
    answer(*run)
    answer("train", "--state", state, "--model", "mlp", "--train-steps", 1)
    return state


def test_a_held_sample_goes_and_its_traces_are_named(state: Path) -> None:
    """The next run goes on without it; what was written before says that it has it."""
    rows = answer("query", "SELECT id FROM coreset", "--state", state)
    sample = rows[0]["id"]
    before = units(state / "checkpoints")
    report = answer("forget", sample, "--state", state)
    assert (report["id"], report["removed"], report["n"]) == (sample, 1, N - 1)
    assert report["checkpoints"]
    assert set(report["checkpoints"]) <= set(before)
    newest = answer("snapshots", "show", "--state", state)["id"]
    assert newest in report["snapshots"]
    assert report["models"] == [path.parent.name for path in state.glob("models/*/metrics.json")]
    again = answer("forget", sample, "--state", state)
    assert again["removed"] == 0
    data = state.parent / "data.npz"
    assert answer("run", data, "--state", state, *TINY, "--warmup", 100)["n"] == N - 1
    sql = f"SELECT count(*) AS held FROM coreset WHERE id = '{sample}'"
    assert answer("query", sql, "--state", state) == [{"held": 0}]


def test_what_is_not_held_is_said_to_be(state: Path) -> None:
    """Nothing is taken out, and nothing holds it."""
    report = answer("forget", "nobody", "--state", state)
    found = [report[name] for name in ("removed", "n", "snapshots", "checkpoints", "models")]
    assert found == [0, N, [], [], []]


def test_a_damaged_snapshot_may_hold_it(state: Path) -> None:
    """What cannot be looked into is not said to be without the sample."""
    unit, *_ = (state / "snapshots").iterdir()
    (unit / "coreset.parquet").write_bytes(b"PAR1")
    assert answer("forget", "nobody", "--state", state)["snapshots"] == [unit.name]


def test_states_that_cannot_forget_are_refused(tmp_path: Path) -> None:
    """No state, none named, and one without a checkpoint."""
    assert "there is no state at" in refusal("forget", 1, "--state", tmp_path / "x", exit_code=4)
    assert "give --state DIR" in refusal("forget", 1, exit_code=2)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    message = refusal("forget", 1, "--state", tmp_path / "empty", exit_code=4)
    assert "has no checkpoint yet" in message


def test_a_warm_up_forgets_too(tmp_path: Path) -> None:
    """What is held back is held."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(50, 3)))
    run = ("run", tmp_path / "x.npy", "--state", tmp_path / "state", *TINY)
    answer(*run, "--max-samples", 40)
    report = answer("forget", 7, "--state", tmp_path / "state")
    assert (report["removed"], report["n"]) == (1, 39)
    assert answer(*run)["n"] == 49
