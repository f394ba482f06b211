"""The engine of a whole group: read while members run, or changed while none does."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from echo_stream.connectors.group.merge import merge_group, replace_segments
from echo_stream.connectors.group.record import GroupRecord
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.group.view import GroupView
from echo_stream.connectors.storage.state_store import save_snapshot
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import StateError

OnSnapshot: TypeAlias = Callable[[Snapshot], object]


def read_group(
    folder: Path, record: GroupRecord, *, features: str | None, device: str
) -> tuple[EchoCoreset, dict[str, Any]] | None:
    """Return the merge of all segments, read-only, and what was merged; None if there is none.

    Raises
    ------
    StateError
        If segments overlap, leave a gap, or are damaged.
    ConfigError
        If the features are not those of the state.
    """
    config = replace(record.config, features=features)
    merged = merge_group(GroupView(folder), config, device=device)
    if merged.engine is None:
        return None
    newest = max(segment.time for segment in merged.segments)
    about = {"segments": len(merged.segments), "time": newest, "n": merged.engine.n_seen_}
    return merged.engine, about


@contextmanager
def group_engine(
    folder: Path,
    record: GroupRecord,
    *,
    features: str | None,
    device: str,
    on_snapshot: OnSnapshot | None = None,
) -> Iterator[EchoCoreset]:
    """Yield the merge of all segments, and replace them in one step by what it then is.

    Raises
    ------
    StateError
        If a member is running, or nothing has been counted yet.
    """
    config = replace(record.config, features=features)
    with closing(GroupState(folder, record.group, exclusive=True)) as state:
        state.release_all()
        merged = merge_group(state, config, device=device)
        if merged.engine is None:
            msg = f"{folder} has no segment yet, so it holds no samples"
            raise StateError(msg)
        yield merged.engine
        merged.engine.expire_changes()  # no other part is left that they could have to reach
        replace_segments(state, merged.segments, merged.engine)
        if on_snapshot is not None and merged.engine.can_snapshot:
            snapshot = merged.engine.snapshot()
            save_snapshot(folder, snapshot, merged.offsets, keep=None)
            on_snapshot(snapshot)
