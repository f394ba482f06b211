"""Members of a group that get in each other's way: one waits, or is fenced, and none ends."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.group.merge import take_group_snapshot
from echo_stream.connectors.group.state import GroupState
from echo_stream.errors import FencedError
from echo_stream.samples.source import Skipped
from tests.support.crashes.dying_members import CONFIG, NAMES, be_member, partitions, trained


@pytest.mark.slow
def test_a_snapshot_that_waits_too_long_is_the_newest_there_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another one is under way: of a big state, or in a process that hangs."""
    be_member(tmp_path, trained(), num_versions=1, term=1)
    with closing(GroupState(tmp_path, "counters")) as state:
        newest = take_group_snapshot(state, CONFIG, device="cpu")
        assert newest is not None
        with (tmp_path / "snapshot.lock").open("a") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            found = take_group_snapshot(state, CONFIG, device="cpu", limit_s=0.1)
            assert found is not None
            assert found.id == newest.id
            shutil.rmtree(tmp_path / "snapshots")
            assert take_group_snapshot(state, CONFIG, device="cpu", limit_s=0.1) is None
    assert "another process has been writing one for 0.1 s" in caplog.text


def test_a_version_that_is_merged_as_soon_as_it_is_there_fences_its_writer(tmp_path: Path) -> None:
    """Who has taken over, and compacts, may be quicker than the writer looks at its size."""
    engine = EchoCoreset.from_config(CONFIG, generation=trained())
    engine.update(partitions()[NAMES[0]])
    with closing(GroupState(tmp_path, "counters")) as state:

        @contextmanager
        def overtaken() -> Iterator[None]:
            yield
            shutil.rmtree(tmp_path / "segments" / "mine")

        covers, about = {NAMES[0]: [(0, engine.n_seen_)]}, {"member": state.member, "source": {}}
        with pytest.raises(FencedError, match="was merged into another segment"):
            state.segments.write(
                "mine", engine, covers, about, skipped=Skipped(), publishing=overtaken()
            )
