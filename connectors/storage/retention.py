"""How long snapshots stay: pins, and pruning of those that are neither pinned nor new."""

from dataclasses import dataclass
from pathlib import Path

from echo_stream._common.checks import check_whole
from echo_stream.connectors.storage.snapshots import (
    PIN,
    is_pinned,
    open_snapshot,
    read_manifests,
    snapshot_manifest,
)
from echo_stream.connectors.storage.unit_locks import remove_unit
from echo_stream.errors import StateError


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What became of the snapshots of a state, each list oldest first.

    Attributes
    ----------
    removed, kept : list of str
        Ids.
    pinned, in_use : list of str
        Those of `kept` that are older than the newest, and why they are kept; what is in
        use is removed the next time.
    freed_bytes : int
        Size of the files removed.
    dry_run : bool
        Whether nothing was removed, but would have been.
    """

    removed: list[str]
    kept: list[str]
    pinned: list[str]
    in_use: list[str]
    freed_bytes: int
    dry_run: bool


def pin_snapshot(folder: Path | None, name: str | None) -> str:
    """Keep a snapshot, by default the newest, from being pruned; return its id.

    Raises
    ------
    ConfigError, SnapshotError
        As `find_snapshot` does.
    StateError
        If the file cannot be written.
    """
    with open_snapshot(folder, name) as unit:
        snapshot_id = str(snapshot_manifest(unit)["id"])
        try:
            (unit / PIN).touch()
        except OSError as err:
            raise _refused(unit, "pin", err) from err
    return snapshot_id


def unpin_snapshot(folder: Path | None, name: str | None) -> str:
    """Let a snapshot be pruned again, pinned or not; as `pin_snapshot`."""
    with open_snapshot(folder, name) as unit:
        snapshot_id = str(snapshot_manifest(unit)["id"])
        try:
            (unit / PIN).unlink(missing_ok=True)
        except OSError as err:
            raise _refused(unit, "unpin", err) from err
    return snapshot_id


def prune_snapshots(folder: Path, *, keep_newest: int, dry_run: bool = False) -> PruneReport:
    """Remove the snapshots of a state but the newest, the pinned and those being read.

    Parameters
    ----------
    folder : Path
    keep_newest : int
        How many of the newest stay, pinned or not; at least 1.
    dry_run : bool
        Whether to say only what would be removed.

    Raises
    ------
    ConfigError
        If keep_newest is less than 1.
    SnapshotError
        If there is no state.
    StateError
        If the file cannot be written.

    Notes
    -----
    Safe while a consumer writes and others read. Damaged snapshots are left alone.
    """
    check_whole("keep_newest", keep_newest, at_least=1)  # the newest snapshot always stays
    found = read_manifests(folder)
    removed, pinned, in_use, freed_bytes = [], [], [], 0
    for unit, manifest in found[:-keep_newest]:
        if is_pinned(unit):
            pinned.append(unit.name)
        elif dry_run or remove_unit(unit, is_kept=is_pinned):
            removed.append(unit.name)
            freed_bytes += sum(file["size"] for file in manifest["files"].values())
        else:
            in_use.append(unit.name)
    kept = [unit.name for unit, _ in found if unit.name not in removed]
    return PruneReport(removed, kept, pinned, in_use, freed_bytes, dry_run)


def _refused(unit: Path, verb: str, err: OSError) -> StateError:
    """Return the error for a pin that cannot be written."""
    return StateError(f"cannot {verb} {unit}: {err.strerror}; change its permissions")
