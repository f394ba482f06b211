"""The consumer's loop resumes from wherever it dies."""

import pytest

from echo_stream.errors import OffsetsError, SourceError
from echo_stream.run.config import RunConfig
from echo_stream.run.schedule import Every
from tests.support.runtime_rig import (
    CAP,
    CrashError,
    Diary,
    Ear,
    Memory,
    N,
    Rig,
    rig,
    settled,
    warming,
)
from tests.support.same_coreset import comparable

BUSY = RunConfig(checkpoint_every=Every(samples=20), snapshot_every=Every(samples=30))


@pytest.fixture(scope="module")
def undisturbed() -> Rig:
    """Return a run that nothing has disturbed, with a warm-up of its own."""
    whole = rig(BUSY, engine=warming(), bad=[5, 55])
    whole.run.run()
    return whole


def resume(memory: Memory) -> Rig:
    """Run again from the newest checkpoint to the end."""
    engine, offsets = memory.restored()
    resumed = rig(BUSY, engine=engine, memory=memory, offsets=offsets, bad=[5, 55])
    resumed.run.run()
    return resumed


def assert_same_end(resumed: Rig, undisturbed: Rig, *, may_lack: int = 0) -> None:
    """Nothing is lost or counted twice, and no snapshot is of what did not happen.

    Who dies between a checkpoint and its snapshot goes on after it: that one is lacking.
    """
    assert comparable(resumed.engine) == comparable(undisturbed.engine)
    expected, written = list(undisturbed.memory.snapshots), list(resumed.memory.snapshots)
    assert set(written) <= set(expected)
    assert len(written) >= len(expected) - may_lack
    assert written[-1] == expected[-1]
    assert set(resumed.memory.dead_letters) == {"5", "55"}


@pytest.mark.parametrize("error", [SourceError("gone"), CrashError()])
def test_abort_and_resume_at_every_batch(undisturbed: Rig, error: Exception) -> None:
    """A source that fails, or a process that dies, at any batch changes nothing in the end."""
    batches = len(undisturbed.source.asked)
    assert batches > N / CAP
    for batch in range(batches):
        broken = rig(BUSY, engine=warming(), fails_at=batch, error=error, bad=[5, 55])
        with pytest.raises(type(error)):
            broken.run.run()
        assert_same_end(resume(broken.memory), undisturbed)


def test_crash_and_resume_at_every_step(undisturbed: Rig) -> None:
    """Between any two steps of any checkpoint or snapshot the process may die."""
    steps = len(undisturbed.memory.diary.entries)
    assert steps > 20
    for step in range(steps):
        broken = rig(BUSY, engine=warming(), diary=Diary(dies_before=step), bad=[5, 55])
        with pytest.raises(CrashError):
            broken.run.run()
        assert_same_end(resume(broken.memory), undisturbed, may_lack=1)


def test_crash_again_and_again(undisturbed: Rig) -> None:
    """Each life gets a little further."""
    memory, deaths = Memory(Diary()), 0
    while True:
        engine, offsets = memory.restored()
        life = rig(BUSY, engine=engine, memory=memory, offsets=offsets, diary=Diary(4), bad=[5, 55])
        try:
            life.run.run()
            break
        except CrashError:
            deaths += 1
    assert deaths > 3
    assert_same_end(life, undisturbed, may_lack=deaths)


def test_source_that_fails_leaves_a_checkpoint() -> None:
    """All that was counted is kept; the error goes on, and there is no snapshot."""
    broken = rig(fails_at=3, error=SourceError("broker is gone"))
    with pytest.raises(SourceError, match="broker is gone"):
        broken.run.run()
    assert broken.memory.diary.entries == ["flush", "checkpoint 21", "commit"]
    assert broken.source.committed == {"row": 21}


def test_other_errors_leave_no_checkpoint() -> None:
    """What is not known to be sound is not written."""
    broken = rig(fails_at=3, error=CrashError())
    with pytest.raises(CrashError):
        broken.run.run()
    assert broken.memory.diary.entries == []


def test_offsets_that_are_gone_leaves_a_checkpoint() -> None:
    """What was counted before the log lost what comes next is kept, so the gap is no wider."""
    broken = rig(fails_at=3, error=OffsetsError("fell off the log"))
    with pytest.raises(OffsetsError, match="fell off"):
        broken.run.run()
    assert broken.memory.diary.entries == ["flush", "checkpoint 21", "commit"]


def test_offsets_never_go_back() -> None:
    """A source that would count samples twice is not believed, and nothing is written."""
    ear = Ear(at=2, do=lambda: broken.source.seek({"row": 0}))
    config = RunConfig(max_samples=2 * CAP)
    broken = rig(config, engine=settled(50), offsets={"row": 50}, ear=ear)
    with pytest.raises(OffsetsError, match="of row went back from 50 to 0"):
        broken.run.run()
    assert broken.memory.checkpoints == []
