"""A training that was killed goes on where it was, to the weights of one that was not."""

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import (
    TINY,
    answer,
    command_process,
    content,
    refusal,
    run_command,
    wait_until,
    write_data,
)

pytestmark = pytest.mark.slow

# Long enough to be killed in the middle, short enough to be run three times.
RECIPE = ("--model", "mlp", "--train-steps", 1_500, "--threads", 1, "--device", "cpu")
OFTEN = ("--train-checkpoint-every", 100)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with a snapshot."""
    folder = tmp_path_factory.mktemp("resume")
    answer("build", write_data(folder / "data.npz"), "--state", folder / "state", *TINY)
    return folder / "state"


def trained(shown: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Return a model's weights, and what was measured of it."""
    weights = Path(shown["model"], "model.safetensors").read_bytes()
    return weights, {name: value for name, value in shown.items() if name != "model"}


def states(models: Path) -> list[Path]:
    """Return the stored states of trainings under way."""
    return list(models.glob(".tmp-training-*/[!.]*/manifest.json"))


@pytest.fixture(scope="module")
def killed_once(state: Path) -> Path:
    """Start a training, kill it once it has stored a state, and return its models folder."""
    models = state.parent / "killed"
    words = ("train", "--state", state, "--out", models, *RECIPE, *OFTEN)
    with command_process(*words) as process:
        wait_until(lambda: states(models), process)
        process.kill()
        assert process.wait() == -9
    return models


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder that a killed training has left."""
    return shutil.copytree(killed_once, tmp_path / "killed")


def test_a_killed_training_goes_on_to_the_same_weights(state: Path, killed: Path) -> None:
    """SIGKILL in the middle costs nothing: weights, losses and counts are the same."""
    assert list(killed.glob("[!.]*")) == []
    words = ("train", "--state", state, *RECIPE)
    resumed = run_command(*words, *OFTEN, "--out", killed)
    assert "an interrupted training" in resumed.stderr
    undisturbed = answer(*words, "--out", killed.parent / "whole")
    assert trained(resumed.json()) == trained(undisturbed)
    assert states(killed) == []
    assert list(killed.glob(".tmp-*")) == []


def test_another_training_begins_again(state: Path, killed: Path) -> None:
    """Other settings find nothing to go on from, and leave what there is alone."""
    before = content(killed)
    words = ("--model", "mlp", "--train-steps", 3, "--device", "cpu", "--out", killed)
    result = run_command("train", "--state", state, *words)
    assert "interrupted" not in result.stderr
    assert result.json()["steps"] == 3
    assert before.items() <= content(killed).items()


def test_a_damaged_state_is_not_gone_on_from(state: Path, killed: Path) -> None:
    """A training whose state fails its checksum begins again, and says why."""
    for path in killed.glob(".tmp-training-*/*/state.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    result = run_command("train", "--state", state, "--out", killed, *RECIPE)
    assert "state of a training skipped" in result.stderr
    assert "going on" not in result.stderr
    assert result.json()["steps"] == 1_500


def test_the_same_training_twice_at_once_is_refused(state: Path, killed: Path) -> None:
    """Two processes would write over each other's states."""
    (lock,) = killed.glob(".tmp-training-*/lock")
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        line = refusal("train", "--state", state, "--out", killed, *RECIPE, exit_code=4)
    assert "the same training is running in another process" in line


def test_states_that_nobody_came_back_for_are_removed(state: Path, killed: Path) -> None:
    """After a week; those of yesterday stay."""
    (folder,) = killed.glob(".tmp-training-*")
    quick = ("--model", "mlp", "--train-steps", 1, "--device", "cpu", "--out", killed)
    answer("train", "--state", state, *quick)
    assert folder.is_dir()
    long_ago = time.time() - 8 * 86_400
    for path in folder.iterdir():
        os.utime(path, (long_ago, long_ago))
    answer("train", "--state", state, *quick)
    assert not folder.exists()
