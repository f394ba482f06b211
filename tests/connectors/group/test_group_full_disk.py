"""A group on a disk that is full when a member begins, and when one gives its partitions up."""

import logging
from contextlib import closing
from pathlib import Path

import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.group.segment_store import SegmentStore
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.errors import InfrastructureError
from tests.support.commands import TOPIC, refusal
from tests.support.crashes.disks import full, resize, small_disk
from tests.support.kafka.groups import NAMES, begin, member


@pytest.mark.parametrize("num_files", range(1, 6))
def test_a_member_that_begins_on_a_full_disk(tmp_path: Path, num_files: int) -> None:
    """Wherever a lock or a folder does not fit: a line, exit code 3, and nothing in the way."""
    disk = tmp_path / "disk"
    with small_disk(disk, f"1m,nr_inodes={num_files}"):
        said = refusal("run", *TOPIC, "--state", disk / "state", exit_code=3)
        assert "No space left on device" in said
        resize(disk, "nr_inodes=100")
        with closing(GroupState(disk / "state", "counters")) as state:
            begin(state, None)


def test_partitions_that_cannot_be_given_up(
    tmp_path: Path, whole: EchoCoreset, caplog: pytest.LogCaptureFixture
) -> None:
    """Where an error is under way it stays that one; else the member waits as long as it may."""
    disk = tmp_path / "disk"
    with small_disk(disk, "2m"), closing(member(disk / "state")) as state:
        begin(state, whole.generation_)
        claimed = state.claim(dict.fromkeys(NAMES, 0), group_generation=1)
        assert claimed is not None
        retries = RetryPolicy(0.1)
        term = SegmentStore(state, *claimed, group_generation=1, device="cpu", retries=retries)
        with full(disk):
            with caplog.at_level(logging.WARNING):
                term.end(may_wait=False)
            assert "its partitions are free when this process has ended" in caplog.text
            with pytest.raises(InfrastructureError, match="No space left"):
                term.end()
        term.end()
        assert state.live() == set()
