"""A state folder: checkpoints, generations and snapshots of one stream, and its lock."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echo_stream.config import EngineConfig
from echo_stream.connectors.process.clock import timestamp
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.connectors.storage.checkpoints import (
    FORMAT_VERSION,
    list_checkpoints,
    undamaged_checkpoints,
)
from echo_stream.connectors.storage.engine_files import (
    read_engine,
    stored_config,
    write_checkpoint,
    write_generation,
)
from echo_stream.connectors.storage.retention import prune_snapshots
from echo_stream.connectors.storage.snapshot_files import write_snapshot
from echo_stream.connectors.storage.state_locks import lock_state
from echo_stream.connectors.storage.training_checkpoint import remove_half_written
from echo_stream.connectors.storage.unit_locks import remove_unit
from echo_stream.connectors.storage.units import (
    read_manifest,
    remove_broken,
    remove_leftovers,
)
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import SettingName, StateError
from echo_stream.samples.source import Skipped

logger = logging.getLogger(__name__)

GROUP_MANIFEST = "group.json"  # only where a consumer group shares the state
KEPT_CHECKPOINTS = 3  # a damaged one falls back on the one before it
_SEQUENCE_DIGITS = 12

# Settings that make another coreset. Any other setting may change on restart.
_FINGERPRINT = (
    "budget", "preset", "cells", "latent", "rank", "support", "support_share", "demand_power",
    "min_distance", "balance", "latent_encoder", "objective", "latent_dim", "epochs", "standardise",
    "encoder", "features", "auto_regenerate", "on_duplicate", "holdout", "seed",
)  # fmt: skip

_DECIDED = ("cells", "latent", "rank", "support", "auto_regenerate")
"""What follows from the preset, where nothing else is given."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A restored checkpoint: the engine, and the source offsets up to which it has counted."""

    engine: EchoCoreset
    offsets: Mapping[str, int]
    source: Mapping[str, Any]
    skipped: Skipped


class StateStore:
    """Write access to a state folder, for one process at a time.

    Use it as a context manager: the lock is held until it is closed, or the process dies.

    Parameters
    ----------
    folder : Path
        Created when it does not exist.
    retries : RetryPolicy
        How long to try again while the disk is full.
    keep_snapshots : int, optional
        Snapshots that stay when one is written, besides the pinned; None: all.

    Raises
    ------
    StateError
        If another process holds the lock, a group shares the state, or the folder cannot be
        written to.
    """

    def __init__(
        self,
        folder: Path,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
        *,
        keep_snapshots: int | None = None,
    ) -> None:
        self.folder = folder
        self._retries = retries
        self._keep_snapshots = keep_snapshots
        self._saved: tuple[Any, ...] | None = None  # what identifies the last checkpoint
        _refuse_group(folder)
        self._lock = lock_state(folder)
        for name in ("checkpoints", "generations", "snapshots"):
            remove_leftovers(folder / name)
        remove_half_written(folder / "models")
        self._checkpoints = folder / "checkpoints"
        for path in self._checkpoints.glob("*"):
            remove_broken(path)
        units = list_checkpoints(self.folder)
        self._sequence = int(units[-1].name) if units else 0

    def __enter__(self) -> "StateStore":
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self._lock.close()

    def stored_config(self) -> EngineConfig | None:
        """Return the configuration of the newest undamaged checkpoint, if there is one."""
        found = next(undamaged_checkpoints(self.folder), None)
        return None if found is None else stored_config(found[1])

    def load_checkpoint(self, config: EngineConfig, *, device: str) -> Checkpoint | None:
        """Return the newest undamaged checkpoint, or None where there never was one.

        Raises
        ------
        StateError
            If the state is of another configuration, naming what differs, or every
            checkpoint is damaged.
        """
        found = next(undamaged_checkpoints(self.folder), None)
        if found is None:
            return None
        unit, manifest = found
        check_fingerprint(stored_config(manifest), config, self.folder)
        engine = read_engine(unit, manifest, config, device=device)
        # Checkpoints of before these were counted have none.
        skipped = Skipped(*(manifest.get(name, 0) for name in Skipped._fields))
        return Checkpoint(engine, manifest["offsets"], manifest["source"], skipped)

    def save_checkpoint(
        self,
        engine: EchoCoreset,
        offsets: Mapping[str, int],
        source: Mapping[str, Any],
        skipped: Skipped = Skipped(),  # noqa: B008 - immutable
    ) -> int:
        """Write engine and offsets as one atomic unit, and remove the oldest checkpoints.

        Returns the size of the new one in bytes; 0 where this store's last one is the same.
        """
        saved = (
            dict(offsets),
            dict(source),
            skipped,
            None if engine.is_warming_up else engine.generation_.id,
            engine.num_arrived,
            engine.n_seen_,
            engine.change_counts(),
        )
        if saved == self._saved:
            return 0
        parent, self._sequence = self._sequence, self._sequence + 1
        destination = self._checkpoints / f"{self._sequence:0{_SEQUENCE_DIGITS}d}"
        manifest = {
            "format_version": FORMAT_VERSION,
            "sequence": self._sequence,
            "parent": parent or None,
            "time": timestamp(),
            "n": engine.n_seen_,
            **engine.change_counts(),
            "offsets": dict(offsets),
            "source": dict(source),
            **skipped._asdict(),
        }
        self._retries.retry(lambda: write_checkpoint(engine, manifest, destination))
        if not engine.is_warming_up:
            generations = self.folder / "generations"
            self._retries.retry(lambda: write_generation(engine.generation_, generations))
        for old in list_checkpoints(self.folder)[:-KEPT_CHECKPOINTS]:
            remove_unit(old)
        self._saved = saved
        return sum(path.stat().st_size for path in destination.iterdir())

    def take_snapshot(self, engine: EchoCoreset, offsets: Mapping[str, int]) -> Snapshot:
        """Select the coreset of what an engine has counted, write it, and return it."""
        snapshot = engine.snapshot()
        self.save_snapshot(snapshot, offsets)
        return snapshot

    def save_snapshot(self, snapshot: Snapshot, offsets: Mapping[str, int]) -> str:
        """Write a snapshot and return its id; the same one twice is written once."""
        keep = self._keep_snapshots
        return self._retries.retry(lambda: save_snapshot(self.folder, snapshot, offsets, keep=keep))


def save_snapshot(
    folder: Path, snapshot: Snapshot, offsets: Mapping[str, int], *, keep: int | None
) -> str:
    """Write a snapshot into a state folder, and keep as many; None: all.

    Only under a lock of the state.
    """
    destination = folder / "snapshots" / snapshot.id
    remove_broken(destination)
    if not destination.exists():
        write_snapshot(snapshot, destination, time=timestamp(), offsets=offsets)
    if keep is not None:
        prune_snapshots(folder, keep_newest=keep)
    return snapshot.id


def _refuse_group(folder: Path) -> None:
    """Refuse a state that a consumer group shares, whether a member is running or not.

    Raises
    ------
    StateError
    """
    if (folder / GROUP_MANIFEST).exists():
        group = read_manifest(folder, manifest_name=GROUP_MANIFEST)["group"]
        raise other_group(folder, group)


def other_group(folder: Path, group: str) -> StateError:
    """Return the error for a state that a group shares, where another one is meant, or none."""
    return StateError(
        f"{folder} is shared by group {group}; set ",
        SettingName("group"),
        f" to {group}, or give another ",
        SettingName("state"),
    )


def check_fingerprint(stored: EngineConfig, given: EngineConfig, folder: Path) -> None:
    """Refuse to go on with a state that was made with other settings.

    Less to keep is no other setting; but samples will be dropped, so a warning says so.
    """
    different = stored.differences(given)
    if given.held < stored.held and "keep" in different:
        logger.warning(
            "%s: --keep is lowered from %s to %s; samples beyond that are dropped",
            folder, stored.keep, given.keep,
        )  # fmt: skip
    decided = _DECIDED if "preset" in different else ()
    names = [name for name in _FINGERPRINT if name in different and name not in decided]
    if names:
        listed = "; ".join(
            f"{name} is {different[name][0]!r} there, {different[name][1]!r} here" for name in names
        )
        advice: list[str] = []
        for name in names:
            value = different[name][0]
            words = ("leave ", " out, ") if value is None else ("set ", f" to {value}, ")
            if name == "encoder" and value is not None:
                words = ("give the ", f" {value}, ")
            advice += [words[0], SettingName(name), words[1]]
        msg = f"{folder} was created with different settings: {listed}; to continue it, "
        raise StateError(
            msg,
            *advice,
            "or give another ",
            SettingName("state"),
        )
