"""`echo-stream serve`: a state's snapshots over HTTP."""

import re
import signal
from pathlib import Path

import pytest

from tests.support.commands import TINY, answer, command_process, finish, refusal, write_data
from tests.support.http.rig import ask, make_state


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    """It says where, answers, tells of the run that there was, and ends in order."""
    state = make_state(tmp_path, snapshots=1)
    with command_process("serve", "--state", state, "--http", "127.0.0.1:0") as process:
        assert process.stderr is not None
        url = process.stderr.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert ask(f"{url}/api/v1/coreset").json()["rows"]
        assert ask(f"{url}/status").json()["liveness"] == "ended"
        assert ask(f"{url}/healthz").code == 200
        process.send_signal(number)
        assert finish(process).exit_code == 0


@pytest.mark.slow
def test_it_tells_why_where_features_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are named as the run named them; without them the answer says what is missing."""
    (tmp_path / "my_features.py").write_text("import torch\n\nhalf = torch.nn.AvgPool1d(2)\n")
    monkeypatch.chdir(tmp_path)
    features = ["--features", "my_features:half"]
    answer("run", write_data(tmp_path / "data.npz"), "--state", "state", *TINY, *features)
    (row,) = answer("query", "SELECT id FROM coreset LIMIT 1", "--state", "state")
    for words, code in ((features, 200), ([], 422)):
        command = ["serve", "--state", "state", "--http", "127.0.0.1:0", *words]
        with command_process(*command) as process:
            assert process.stderr is not None
            url = process.stderr.readline().strip()
            found = ask(f"{url}/api/v1/why?id={row['id']}")
            assert found.code == code
            told = found.json()["why" if code == 200 else "detail"]
            process.terminate()
            assert finish(process).exit_code == 0
        assert ("chosen as core" if code == 200 else "features 'my_features:half'") in told


def test_it_needs_a_state(tmp_path: Path) -> None:
    """One that is there."""
    assert "--state DIR" in refusal("serve", exit_code=2)
    assert "there is no state" in refusal("serve", "--state", tmp_path / "none", exit_code=4)


@pytest.mark.parametrize(
    "words",
    [
        ["serve"], ["snapshots", "list"], ["snapshots", "show"], ["snapshots", "verify"],
        ["query", "SELECT 1"], ["status"], ["why", "1"], ["train"], ["dlq", "list"],
        ["forget", "1"], ["snapshots", "prune", "--keep-newest", "1"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_folder_of_something_else_is_no_state(words: list[str], tmp_path: Path) -> None:
    """A mistyped name ends in a sentence, not in an empty list; nothing is written there."""
    (tmp_path / "notes.txt").touch()
    line = refusal(*words, "--state", tmp_path, exit_code=4)
    assert f"{tmp_path} is not a state: it has neither checkpoints nor snapshots" in line
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_snapshot_is_no_state(tmp_path: Path) -> None:
    """It says what it is, and how to give it."""
    (tmp_path / "coreset.parquet").touch()
    line = refusal("snapshots", "list", "--state", tmp_path, exit_code=4)
    assert f"{tmp_path} is a snapshot, not a state; give it as `--snapshot {tmp_path}`" in line
    assert "`build --state`" in line
