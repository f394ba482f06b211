"""A run that dies before any operation on its files, or loses power there, changes nothing.

Each life is a real process that kills itself; the one after it goes on from what it left.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from echo_stream.connectors.dead_letters.files import read_dead_letters
from tests.support.bad_messages import RAISES
from tests.support.commands import TINY, newest_checkpoint
from tests.support.crashes.lives import Nursery
from tests.support.same_coreset import Outcome, outcome

N = 500
POISON = (310, 370, 450)  # rows of which the features fail
BEFORE = 300  # samples that were counted before the run that dies
CYCLE = 100  # samples that it counts
MANY = 20  # operations, at the least, of a run that writes all there is
LIMIT = 400  # by far more than any run has


Left: TypeAlias = tuple[Outcome, dict[bytes | None, bytes | None]]
"""What a run has left that must not depend on how often it died, and its dead letters."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file of samples, some of them poison."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 4)).astype(np.float32)
    x[list(POISON), 0] = RAISES
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, x=x, y=np.arange(N) % 3)
    return path


def words(data: Path, state: Path, *more: object) -> list[object]:
    """Return a run that writes checkpoints, snapshots and dead letters."""
    return [
        "run", data, "--state", state, *TINY, "--warmup", 100, "--keep-snapshots", 2,
        "--features", "tests.support.bad_messages:picky", "--checkpoint-every", "never", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def begun(data: Path, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state that has as many checkpoints and snapshots as are kept."""
    disk = tmp_path_factory.mktemp("begun") / "disk"
    disk.mkdir()
    for _ in range(BEFORE // CYCLE):
        nursery.succeed(*words(data, disk / "state", "--max-samples", CYCLE))
    return disk


@pytest.mark.parametrize("has_power", [True, False], ids=["kill", "power cut"])
def test_death_at_any_step_of_a_cycle(
    data: Path, begun: Path, nursery: Nursery, tmp_path: Path, *, has_power: bool
) -> None:
    """One cycle of dead letters, a checkpoint, a snapshot, and what is dropped for them."""
    assert_death_changes_nothing(data, begun, nursery, tmp_path, has_power=has_power)


def test_power_cut_at_any_step_of_the_first_cycle(
    data: Path, nursery: Nursery, tmp_path: Path
) -> None:
    """Where there is no state yet: its folders, the generation, and whatever comes first."""
    (tmp_path / "empty").mkdir()
    assert_death_changes_nothing(data, tmp_path / "empty", nursery, tmp_path, has_power=False)


def assert_death_changes_nothing(
    data: Path, begun: Path, nursery: Nursery, tmp_path: Path, *, has_power: bool
) -> None:
    """Check that a run goes on from the checkpoint before or the new one, to the same end."""
    before = newest_checkpoint(begun / "state")["n"]
    expected = undisturbed(data, begun, nursery, tmp_path)
    found = []
    for disk in deaths(data, begun, nursery, tmp_path, has_power=has_power):
        found.append(newest_checkpoint(disk / "state")["n"])
        assert run_to_the_end(data, disk, nursery) == expected, f"death {len(found)}"
    assert len(found) > MANY
    assert found == sorted(found)
    assert set(found) == {before, before + CYCLE}


def undisturbed(data: Path, begun: Path, nursery: Nursery, tmp_path: Path) -> Left:
    """Return what a run leaves that is stopped once, and goes on to the end."""
    disk = shutil.copytree(begun, tmp_path / "undisturbed")
    nursery.succeed(*words(data, disk / "state", "--max-samples", CYCLE))
    return run_to_the_end(data, disk, nursery)


def deaths(
    data: Path, begun: Path, nursery: Nursery, tmp_path: Path, *, has_power: bool
) -> Iterator[Path]:
    """Yield what a run of one cycle leaves that dies before its first, second... operation."""
    disk = tmp_path / "disk"
    for before in range(LIMIT):
        shutil.rmtree(disk, ignore_errors=True)
        shutil.copytree(begun, disk)
        command = words(data, disk / "state", "--max-samples", CYCLE)
        if not nursery.die(*command, folder=disk, before=before, has_power=has_power):
            return
        yield disk
    pytest.fail(f"it did not end within {LIMIT} operations")


def run_to_the_end(data: Path, disk: Path, nursery: Nursery) -> Left:
    """Go on to the end, and return what is there then."""
    nursery.succeed(*words(data, disk / "state"))
    return outcome(disk / "state"), dead_letters(disk / "state")


def dead_letters(state: Path) -> dict[bytes | None, bytes | None]:
    """Return the dead letters by key, which tells that one is there twice."""
    found = [each.sample for each in read_dead_letters(state / "dead-letters") if each.sample]
    kept = {sample.key: sample.value for sample in found}
    assert Counter((each.key, each.value) for each in found).keys() == set(kept.items())
    assert kept.keys() == {str(row).encode() for row in POISON}
    return kept
