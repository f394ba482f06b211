"""`echo-stream why`: from the newest checkpoint and the snapshots of a state."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from echo_stream.connectors.storage.state_store import StateStore
from tests.support.commands import TINY, answer, content, refusal, run_command, write_data


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with snapshots at 100, 200 and 300 samples."""
    folder = tmp_path_factory.mktemp("why")
    data = write_data(folder / "data.npz")
    answer("run", data, "--state", folder / "state", *TINY, "--warmup", 50, "--snapshot-every", 100)
    return folder / "state"


def test_chosen(state: Path) -> None:
    """It stands as the newest snapshot says, and since when is told."""
    sql = "SELECT * FROM coreset ORDER BY selection_rank LIMIT 1"
    row = answer("query", sql, "--state", state)[0]
    before = content(state)
    result = run_command("why", row["id"], "--state", state)
    assert content(state) == before
    told = result.json()
    assert result.stderr == f"{told['why']}\n"
    assert told["why"].startswith("chosen as core: rank 1 ")
    (sample,) = told["samples"]
    assert (sample["cell"], sample["label"], sample["origin"]) == (row["cell"], row["label"], None)
    assert sample["core"]["rank"] == row["rank_in_cell"]
    assert sample["core"]["certified"] == row["certified"]
    assert told["checkpoint"]["n"] == 300
    sql = f"SELECT snapshot_id AS id, role FROM coreset_history WHERE id = '{row['id']}' "
    history = answer("query", sql + "ORDER BY snapshot_id", "--state", state)
    for role in {line["role"] for line in history}:
        ids = [line["id"] for line in history if line["role"] == role]
        spans = [entry for entry in told["entered"] if entry["role"] == role]
        assert spans[0]["since"]["snapshot"] == ids[0]
        assert spans[-1]["until"]["snapshot"] == ids[-1]


def test_while_a_consumer_holds_the_state(state: Path) -> None:
    """No lock is asked for."""
    with StateStore(state):
        assert answer("why", "0", "--state", state)["id"] == "0"


def test_not_held(state: Path, tmp_path: Path) -> None:
    """With the data set, or with the sample alone, it is told what would beat it."""
    told = answer("why", "never", "--state", state)
    assert (told["held"], told["samples"], told["entered"]) == (False, [], [])
    x = np.load(state.parent / "data.npz")["x"]
    alone, one_row = tmp_path / "x.npy", tmp_path / "row.npy"
    np.save(alone, x[5])
    np.save(one_row, x[5:6])
    told = [answer("why", "never", "--state", state, "--data", file) for file in (alone, one_row)]
    assert told[0] == told[1]
    (sample,) = told[0]["samples"]
    assert not sample["core"]["in_pool"]
    assert sample["core"]["beaten_by"]
    assert told[0]["held"] is False


def test_data_set_with_the_id(state: Path) -> None:
    """Of many rows that of the id is meant."""
    data = state.parent / "data.npz"
    told = answer("why", "7", "--state", state, "--data", data)
    assert told["samples"][0]["cell"]
    line = refusal("why", "never", "--state", state, "--data", data, exit_code=1)
    assert "0 of 300 rows have the id 'never'" in line


def test_nothing_to_ask(state: Path, tmp_path: Path) -> None:
    """No state, no checkpoint: each says what to do; in a warm-up there is a provisional answer."""
    refusal("why", "1", exit_code=2)
    assert "there is no state" in refusal("why", "1", "--state", tmp_path / "no", exit_code=4)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    line = refusal("why", "1", "--state", tmp_path / "empty", exit_code=4)
    assert "has no checkpoint; query snapshots" in line
    data = state.parent / "data.npz"
    answer("run", data, "--state", tmp_path / "warm", *TINY, "--max-samples", 10)
    assert answer("why", "1", "--state", tmp_path / "warm")["held"]
    (tmp_path / "wide.npy").write_bytes(b"no")
    refusal("why", "x", "--state", state, "--data", tmp_path / "wide.npy", exit_code=1)


def test_a_damaged_snapshot_is_skipped(state: Path, tmp_path: Path) -> None:
    """It is named, and the checkpoint and the other snapshots are asked."""
    shutil.copytree(state, tmp_path / "state")
    units = sorted((tmp_path / "state" / "snapshots").iterdir())
    damaged = units[1] / "coreset.parquet"
    damaged.write_bytes(damaged.read_bytes()[:500])
    row = answer("query", "SELECT id FROM coreset LIMIT 1", "--state", state)[0]
    whole = answer("why", row["id"], "--state", state)
    result = run_command("why", row["id"], "--state", tmp_path / "state")
    assert f"snapshot skipped: {damaged} is damaged" in result.stderr
    told = result.json()
    assert told["samples"] == whole["samples"]
    assert {entry["until"]["snapshot"] for entry in told["entered"]} == {units[2].name}
