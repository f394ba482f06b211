"""The engine of a state that no run is using, to do something to what it holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from echo_stream.connectors.state_store import StateStore
from echo_stream.engine import EchoCoreset
from echo_stream.errors import StateError


@contextmanager
def stored_engine(state: Path, *, features: str | None, device: str) -> Iterator[EchoCoreset]:
    """Lend the engine of the newest checkpoint, and write the next one with it.

    Parameters
    ----------
    state : Path
    features : str or None
        As the state was begun with.
    device : str

    Raises
    ------
    StateError
        If there is no checkpoint, or the state is in use.
    """
    with StateStore(state) as store:
        stored, checkpoint = store.stored_config(), None
        if stored is not None:
            given = replace(stored, features=features)
            checkpoint = store.load_checkpoint(given, device=device)
        if checkpoint is None:
            msg = f"{state} has no checkpoint yet, so it holds no sample"
            raise StateError(msg)
        yield checkpoint.engine
        store.save_checkpoint(
            checkpoint.engine, checkpoint.position, checkpoint.source, checkpoint.skipped
        )
