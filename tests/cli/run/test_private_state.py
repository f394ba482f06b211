"""A state is for its owner alone, whatever the umask: it holds samples, perhaps people's."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import GOOD, READ, TINY, answer, on, send, write_data
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic


@pytest.fixture(params=[0o000, 0o022, 0o377], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Set the umask for a test."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, set[str]]:
    """Return the modes of all files and all folders of a state, itself included."""
    found: dict[str, set[str]] = {"files": set(), "folders": set()}
    for path in (folder, *folder.rglob("*")):
        mode = oct(stat.S_IMODE(path.stat().st_mode))
        found["folders" if path.is_dir() else "files"].add(mode)
    return found


@pytest.mark.usefixtures("_umask")
def test_state_of_a_run(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Checkpoints, generations, snapshots, dead letters, models, locks, the status."""
    topic, state = make_topic(), tmp_path / "above" / "state"
    send(broker, topic, [GOOD, b"junk", GOOD])
    answer("run", *on(broker, topic), *READ, "--state", state)
    assert (state / "dead-letters" / "000000000001.jsonl").stat().st_size
    assert modes(tmp_path / "above") == {"files": {"0o600"}, "folders": {"0o700"}}


@pytest.mark.usefixtures("_umask")
def test_models(tmp_path: Path) -> None:
    """What was trained on a state, and what was built beside it."""
    data, state = write_data(tmp_path / "data.npz"), tmp_path / "state"
    answer("run", data, *TINY, "--state", state)
    answer("train", "--state", state, "--model", "mlp", "--train-epochs", 1)
    assert list((state / "models").iterdir())
    assert modes(state) == {"files": {"0o600"}, "folders": {"0o700"}}
    answer("build", data, *TINY, "--out", tmp_path / "built")
    assert modes(tmp_path / "built") == {"files": {"0o600"}, "folders": {"0o700"}}


def test_folder_that_was_opened_stays_open(tmp_path: Path) -> None:
    """A mode that somebody has chosen is left alone; what is written in it is private."""
    data, state = write_data(tmp_path / "data.npz"), tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)
    answer("run", data, *TINY, "--state", state)
    assert modes(state) == {"files": {"0o600"}, "folders": {"0o755", "0o700"}}
