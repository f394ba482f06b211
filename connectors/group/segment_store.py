"""Where a member stores what it counts of its assignment: in a segment of its own."""

import logging
from collections.abc import Mapping
from typing import Any

from echo_stream.connectors.group.merge import take_group_snapshot
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import FencedError, InfrastructureError, StateError
from echo_stream.samples.source import Skipped

logger = logging.getLogger(__name__)


class SegmentStore:
    """The store of a run that counts the partitions of an assignment.

    Its checkpoints are versions of a segment of its own, and none is published once a
    partition has been taken over. None is written during a warm-up: the member that trains
    the generation next reads the warm-up again.

    Parameters
    ----------
    state : GroupState
    segment : str
    begins : mapping of str to int
        Where each "topic/partition" goes on; claimed for the segment.
    group_generation : int
        Kafka's number of the assignment.
    device : str
    keep_snapshots : int, optional
    retries : RetryPolicy
        How long to try again while the disk is full.

    Attributes
    ----------
    num_published : int
        Samples of this segment that are durable.
    """

    def __init__(
        self,
        state: GroupState,
        segment: str,
        begins: Mapping[str, int],
        *,
        group_generation: int,
        device: str,
        keep_snapshots: int | None = None,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
    ) -> None:
        self.begins = dict(begins)
        self.num_published = 0
        self._state = state
        self._segment = segment
        self._group_generation = group_generation
        self._device = device
        self._keep_snapshots = keep_snapshots
        self._retries = retries
        self._published = dict(begins)

    def save_checkpoint(
        self,
        engine: EchoCoreset,
        offsets: Mapping[str, int],
        source: Mapping[str, Any],
        skipped: Skipped,
    ) -> int | None:
        """Publish what has been counted, unless nothing has been since the last time.

        Returns the size in bytes; 0: it is there already; None: the engine still warms up.

        Raises
        ------
        FencedError
            If another process has taken a partition over.
        InfrastructureError
            If the disk stays full.
        """
        if engine.is_warming_up:
            return None
        if offsets == self._published:
            return 0
        self._retries.retry(lambda: self._state.settle_generation(engine.generation_))
        covers = {name: [(begin, offsets[name])] for name, begin in self.begins.items()}
        about = {
            "member": self._state.member,
            "group_generation": self._group_generation,
            "source": dict(source),
        }
        try:
            size_bytes = self._retries.retry(
                lambda: self._state.segments.write(
                    self._segment,
                    engine,
                    covers,
                    about,
                    skipped=skipped,
                    publishing=self._state.publishing(self._segment, self.begins),
                )
            )
        except FencedError:
            raise
        except StateError:
            # The new owner may have removed what was half written.
            with self._state.locked():
                self._state.check_claims(self._segment, self.begins)
            raise
        self._published, self.num_published = dict(offsets), engine.n_seen_
        return size_bytes

    def take_snapshot(self, engine: EchoCoreset, _offsets: Mapping[str, int]) -> Snapshot:
        """Write a snapshot of all that the group has counted; see `take_group_snapshot`."""
        snapshot: Snapshot | None = None
        while snapshot is None:  # the engine has been published: the first one is under way
            snapshot = self._retries.retry(
                lambda: take_group_snapshot(
                    self._state,
                    engine.config,
                    device=self._device,
                    keep=self._keep_snapshots,
                )
            )
        return snapshot

    def end(self, *, may_wait: bool = True) -> None:
        """Give the partitions up, so that the next to own them need not wait.

        may_wait: for space on a disk that is full. Else an error is under way that must not
        be hidden; the partitions of a process that has ended are free anyway.
        """
        if may_wait:
            self._retries.retry(lambda: self._state.release(self._segment, self.begins))
            return
        try:
            self._state.release(self._segment, self.begins)
        except (InfrastructureError, StateError) as err:
            logger.warning("%s; its partitions are free when this process has ended", err)
