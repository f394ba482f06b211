"""The coreset of a whole group: the merge of its segments, and their compaction."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from echo_stream.config import EngineConfig
from echo_stream.connectors.group.offset_ranges import union
from echo_stream.connectors.group.segments import Segment
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.group.view import GroupView
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.state_locks import long_lock
from echo_stream.connectors.storage.state_store import save_snapshot
from echo_stream.connectors.storage.units import list_units, remove_leftovers
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import FencedError, StateError
from echo_stream.samples.source import Skipped

logger = logging.getLogger(__name__)

_COMPACTED_ABOVE = 4  # segments that do not change any more; each costs a merge per snapshot
_SNAPSHOT_WAIT_S = 20.0  # a hand-over waits for a snapshot that is under way
_ATTEMPTS = 5  # to read segments, which writers may replace at any time


class Merged(NamedTuple):
    """What all members have counted together.

    Attributes
    ----------
    engine : EchoCoreset or None
        None where nothing has been counted.
    segments : list of Segment
        What was merged.
    offsets : dict of str to int
        Next offset of each partition.
    skipped : Skipped
    """

    engine: EchoCoreset | None
    segments: Sequence[Segment]
    offsets: dict[str, int]
    skipped: Skipped


def merge_group(state: GroupView, config: EngineConfig, *, device: str) -> Merged:
    """Merge all segments of a group as they are now. O(segments (M D + pools)).

    Raises
    ------
    StateError
        If segments overlap, leave a gap, or are damaged.
    """
    for _ in range(_ATTEMPTS - 1):
        segments = state.current()
        try:
            return _merged(state, segments, config, device=device)
        except StateError as err:
            if state.current() == segments:
                raise
            logger.info("segments have changed while they were merged: %s", err)
    return _merged(state, state.current(), config, device=device)


def take_group_snapshot(
    state: GroupState,
    config: EngineConfig,
    *,
    device: str,
    keep: int | None = None,
    limit_s: float = _SNAPSHOT_WAIT_S,
) -> Snapshot | None:
    """Write a snapshot of all segments, and return it; None where nothing was counted.

    Old segments are merged into one first, where there are many. The same snapshot is
    written once by the whole group. One is taken at a time: a second call waits for limit_s
    seconds, and returns the newest there is then, or None.

    Raises
    ------
    StateError
        If segments overlap, leave a gap, or are damaged.
    """
    with long_lock(state.folder / "snapshot.lock", limit_s=limit_s) as is_ours:
        if not is_ours:
            logger.warning(
                "skipped the snapshot: another process has been writing one for %g s", limit_s
            )
            units = list_units(state.folder / "snapshots")
            return read_snapshot(units[-1]) if units else None
        remove_leftovers(state.folder / "snapshots")
        compact(state, config, device=device)
        merged = merge_group(state, config, device=device)
        if merged.engine is None or not merged.engine.can_snapshot:
            return None
        snapshot = merged.engine.snapshot()
        save_snapshot(state.folder, snapshot, merged.offsets, keep=keep)
        return snapshot


def compact(
    state: GroupState, config: EngineConfig, *, device: str, above: int = _COMPACTED_ABOVE
) -> int:
    """Merge segments that do not change any more into one, if there are more than some.

    The new segment names those that it replaces and takes their place in one step; they are
    removed afterwards, by the next call if this process dies. Only for one process at a time,
    which `take_group_snapshot` ensures.

    Returns
    -------
    int
        How many have been replaced.
    """
    with state.locked():
        live = state.live()
        state.segments.tidy(live)
        old = [segment for segment in state.segments.read() if segment.id not in live]
    if len(old) <= above:
        return 0
    replace_segments(state, old, _engine(old, config, device=device))
    return len(old)


def replace_segments(state: GroupState, old: Sequence[Segment], engine: EchoCoreset) -> None:
    """Replace segments by one, of an engine that has counted all that they cover.

    Raises
    ------
    FencedError
        If they have changed.
    """
    state.segments.write(
        state.new_segment(),
        engine,
        union(segment.covers for segment in old),
        {"member": state.member, "group_generation": None, "source": dict(state.record().source)},
        skipped=total_skipped(old),
        replaces=[segment.id for segment in old],
        publishing=_replacing(state, old),
    )
    with state.locked():
        state.segments.tidy(state.live())


@contextmanager
def _replacing(state: GroupState, old: Sequence[Segment]) -> Iterator[None]:
    """Hold the lock while segments are replaced, if they have not changed."""
    with state.locked():
        now = state.segments.read()
        if any(segment not in now for segment in old):
            msg = "another process merged these segments first; no data was lost"
            raise FencedError(msg)
        yield


def _merged(
    state: GroupView, segments: Sequence[Segment], config: EngineConfig, *, device: str
) -> Merged:
    """Merge segments that cover each offset once."""
    covered = union(segment.covers for segment in segments)
    offsets = {**state.record().start, **{name: each[-1][1] for name, each in covered.items()}}
    engine = _engine(segments, config, device=device) if segments else None
    return Merged(engine, segments, offsets, total_skipped(segments))


def _engine(segments: Sequence[Segment], config: EngineConfig, *, device: str) -> EchoCoreset:
    """Return the merge of segments, which are read one at a time."""
    engine = segments[0].load(config, device=device)
    for segment in segments[1:]:
        engine.merge(segment.load(config, device=device))
    return engine


def total_skipped(segments: Iterable[Segment]) -> Skipped:
    """Return what was skipped in all segments."""
    each = [segment.skipped for segment in segments]
    return Skipped(*(sum(counts) for counts in zip(Skipped(), *each, strict=True)))
