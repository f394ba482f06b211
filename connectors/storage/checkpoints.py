"""The checkpoints of a state folder, read by its consumer or beside it."""

import logging
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from echo_stream.connectors.storage.engine_files import read_engine, stored_config
from echo_stream.connectors.storage.unit_locks import read_lock
from echo_stream.connectors.storage.units import list_units, verify_unit
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import StateError
from echo_stream.generation.features import private_features
from echo_stream.generation.generation import check_format

logger = logging.getLogger(__name__)

FORMAT_VERSION = 2


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a state, oldest first, without other files."""
    units = list_units(folder / "checkpoints")
    return [unit for unit in units if unit.name.isdecimal() and unit.name.isascii()]


def undamaged_checkpoints(folder: Path) -> Generator[tuple[Path, dict[str, Any]], None, None]:
    """Yield the undamaged checkpoints with their manifests, newest first.

    Each is locked for reading until the next one is asked for, or the iterator is closed.

    Raises
    ------
    StateError
        At the end, if there are some but all are damaged.
    """
    units, num_undamaged = list_checkpoints(folder), 0
    for unit in reversed(units):
        try:
            with read_lock(unit):
                manifest = verify_unit(unit)
                check_format(manifest, FORMAT_VERSION, f"checkpoint {unit.name}")
                num_undamaged += 1
                yield unit, manifest
        except StateError as err:
            logger.warning("checkpoint skipped: %s", err)
    if units and not num_undamaged:
        msg = f"all {len(units)} checkpoints in {folder} are damaged; use another state"
        raise StateError(msg)


def read_newest(
    folder: Path, *, features: str | None = None, device: str = "auto"
) -> tuple[EchoCoreset, dict[str, Any]] | None:
    """Return the engine of the newest checkpoint and its manifest; None if there is none.

    No lock of the state is needed: a consumer may be running, also in this process.

    Parameters
    ----------
    folder : Path
    features : str, optional
        As the state was begun with.
    device : str

    Raises
    ------
    StateError
        If every checkpoint is damaged.
    ConfigError
        If the features are not those of the state.
    """
    with closing(undamaged_checkpoints(folder)) as checkpoints:
        found = next(checkpoints, None)
        if found is None:
            return None
        unit, manifest = found
        config = replace(stored_config(manifest), features=features)
        function = None if features is None else private_features(features)
        return read_engine(unit, manifest, config, device=device, features=function), manifest
