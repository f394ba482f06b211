"""The engine of a state that no run is using, to do something to what it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from echo_stream.connectors.group.engine import OnSnapshot, group_engine
from echo_stream.connectors.group.record import GroupRecord
from echo_stream.connectors.storage.snapshots import check_state
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import StateError


@contextmanager
def stored_engine(
    state: Path, *, features: str | None, device: str, on_snapshot: OnSnapshot | None = None
) -> Iterator[EchoCoreset]:
    """Lend the engine of the newest checkpoint, and write the next one with it.

    Where a group shares the state: the merge of its segments, which then takes their place.

    Parameters
    ----------
    state : Path
    features : str or None
        As the state was begun with.
    device : str
    on_snapshot : callable, optional
        A snapshot is written too, if there is a sample to select, and given to it.

    Raises
    ------
    StateError
        If there is no state, no checkpoint in it, or it is in use.
    """
    check_state(state)
    record = GroupRecord.read(state)
    if record is not None:
        with group_engine(
            state, record, features=features, device=device, on_snapshot=on_snapshot
        ) as engine:
            yield engine
        return
    with StateStore(state) as store:
        stored, checkpoint = store.stored_config(), None
        if stored is not None:
            given = replace(stored, features=features)
            checkpoint = store.load_checkpoint(given, device=device)
        if checkpoint is None:
            msg = f"{state} has no checkpoint yet, so it holds no samples"
            raise StateError(msg)
        yield checkpoint.engine
        store.save_checkpoint(
            checkpoint.engine, checkpoint.offsets, checkpoint.source, checkpoint.skipped
        )
        if on_snapshot is not None and checkpoint.engine.n_seen_:
            on_snapshot(store.take_snapshot(checkpoint.engine, checkpoint.offsets))
