"""The snapshots of a state folder, read while a consumer writes others."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from echo_stream.config import EngineConfig
from echo_stream.connectors.storage.unit_locks import read_lock
from echo_stream.connectors.storage.units import (
    MANIFEST,
    check_files,
    list_units,
    read_manifest,
    verify_unit,
)
from echo_stream.errors import ConfigError, SettingName, SnapshotError, StateError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 8  # of snapshots, that we read

CORESET_FILE = "coreset.parquet"
"""Every snapshot has it, and no other unit."""

_REQUIRED = ("id", "time", "n", "num_cells", "num_distinct", "certified_fraction",
            "coverage_at_least", "generation", "provisional")  # fmt: skip
"""What every manifest has, of what `echo-stream snapshots list` shows."""


class Listing(NamedTuple):
    """The snapshots of a state.

    Attributes
    ----------
    whole : list of (Path, dict)
        Those with an undamaged manifest, and it, oldest first.
    damaged : dict of str to SnapshotError
        What is wrong with the others, by name.
    doubt : SnapshotError or None
        Why the last undamaged one may not be the newest: a damaged one that may be newer.
    """

    whole: list[tuple[Path, dict[str, Any]]]
    damaged: dict[str, SnapshotError]
    doubt: SnapshotError | None

    def newest(self) -> Path | None:
        """Return the newest snapshot; None if there is none. Raises `doubt` if it is set."""
        if self.doubt is not None:
            raise self.doubt
        return self.whole[-1][0] if self.whole else None


_MARKS = ("lock", "checkpoints", "segments", "snapshots", "dead-letters")
"""Each state has one of these; a copy has no lock."""

PIN = "pinned"  # a file beside a snapshot's own, which keeps it from being pruned


def check_state(folder: Path) -> None:
    """Raise SnapshotError if there is no folder of a state."""
    if not folder.is_dir():
        msg = f"there is no state at {folder}; create one with `echo-stream run --state {folder}`"
        raise SnapshotError(msg)
    if not is_state(folder):
        if (folder / CORESET_FILE).exists():
            msg = (
                f"{folder} is a snapshot, not a state; give it as `--snapshot {folder}` to a "
                "command that takes one (`label` with `--out` too), or make a state with "
                "`echo-stream run --state` or `build --state`"
            )
            raise SnapshotError(msg)
        msg = (
            f"{folder} is not a state: it has neither checkpoints nor snapshots; give the folder "
            "that `echo-stream run --state` or `build --state` writes to"
        )
        raise SnapshotError(msg)


def is_state(folder: Path) -> bool:
    """Return whether a folder is that of a state, also of one that has just been begun."""
    return any((folder / name).exists() for name in _MARKS)


def list_snapshots(folder: Path) -> list[Path]:
    """Return the snapshots of a state folder, oldest first; damaged ones are skipped.

    Raises
    ------
    SnapshotError
        If the folder does not exist.
    """
    return [unit for unit, _ in read_manifests(folder)]


def read_manifests(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the snapshots of a state folder with their manifests, as `list_snapshots` does."""
    return read_listing(folder).whole


def read_listing(folder: Path) -> Listing:
    """Return the snapshots of a state folder, and log the damaged ones.

    Raises
    ------
    SnapshotError
        If the folder does not exist.
    """
    check_state(folder)
    whole: list[tuple[Path, dict[str, Any]]] = []
    damaged: dict[str, SnapshotError] = {}
    for unit in list_units(folder / "snapshots"):
        try:
            whole.append((unit, snapshot_manifest(unit)))
        except SnapshotError as err:
            if unit.exists():  # else it has been pruned just now
                logger.warning("snapshot skipped: %s", err)
                damaged[unit.name] = err
    whole.sort(key=lambda pair: (pair[1]["time"], pair[0]))
    newest = whole[-1][0] if whole else None
    return Listing(whole, damaged, _doubt(folder / "snapshots", newest, damaged))


def _doubt(
    parent: Path, newest: Path | None, damaged: Mapping[str, SnapshotError]
) -> SnapshotError | None:
    """Return why the newest undamaged snapshot may not be the newest, if that is so."""
    if newest is None:
        return next(iter(damaged.values()), None)
    for name, err in damaged.items():
        if _may_be_newer(parent / name, newest):
            return SnapshotError(f"{err}; the newest undamaged one is --snapshot {newest.name}")
    return None


def _may_be_newer(damaged: Path, newest: Path) -> bool:
    """Return whether a snapshot whose manifest is damaged, and its time with it, may be newer."""
    times = [(unit / MANIFEST).stat().st_mtime_ns for unit in (damaged, newest)]
    return damaged.name > newest.name or times[0] > times[1]


def each_snapshot(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the snapshots of a state with their manifests, oldest first.

    Each is locked for reading until the next one is asked for.
    """
    for unit, manifest in read_manifests(folder):
        try:
            with read_lock(unit):
                yield unit, manifest
        except StateError:
            if unit.exists():  # else it has been pruned just now
                raise


def describe_snapshots(folder: Path) -> list[dict[str, Any]]:
    """Return a line on each snapshot of a state folder, oldest first.

    It has what `_REQUIRED` names, and whether the snapshot is pinned. Raises as
    `list_snapshots` does.
    """
    return [describe(unit, manifest) for unit, manifest in read_manifests(folder)]


def describe(unit: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the line on one snapshot."""
    return {name: manifest[name] for name in _REQUIRED} | {"pinned": is_pinned(unit)}


def provisional_words(manifest: Mapping[str, Any]) -> str | None:
    """Return what to warn of before a snapshot is used; None if it is not of a warm-up."""
    if not manifest["provisional"]:
        return None
    warmup = EngineConfig.from_json(manifest["config"]).warmup_size
    return (
        f"the snapshot {manifest['id']} is provisional: it is of {manifest['n']} of {warmup} "
        "samples of the warm-up"
    )


def is_pinned(unit: Path) -> bool:
    """Return whether a snapshot is never to be pruned."""
    return (unit / PIN).exists()


def snapshot_manifest(unit: Path) -> dict[str, Any]:
    """Return the manifest of a snapshot.

    Raises
    ------
    SnapshotError
        If there is none, or it is no snapshot's.
    """
    try:
        manifest = read_manifest(unit)
    except StateError as err:
        raise SnapshotError(str(err)) from err
    version = manifest.get("format_version")
    if version is not None and version != FORMAT_VERSION:
        msg = f"{unit} has format version {version}; this echo-stream reads {FORMAT_VERSION}"
        raise SnapshotError(msg)
    missing = [name for name in _REQUIRED if name not in manifest]
    if missing:
        msg = f"{unit} is not a snapshot: its manifest has no {missing[0]}"
        raise SnapshotError(msg)
    return manifest


def checked_manifest(unit: Path, names: Iterable[str] | None = None) -> dict[str, Any]:
    """Return the manifest of a snapshot whose files are undamaged; see `check_files`.

    Call it before reading a file of a snapshot.

    Parameters
    ----------
    unit : Path
    names : iterable of str, optional
        The files that are to be read; None: all.

    Raises
    ------
    SnapshotError
        If there is no such snapshot, or it is damaged.
    """
    manifest = snapshot_manifest(unit)
    try:
        check_files(unit, manifest, manifest["files"] if names is None else names)
    except StateError as err:
        raise SnapshotError(str(err)) from err
    return manifest


def newest_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a state's newest snapshot; empty where there is none."""
    units = list_snapshots(folder)
    return snapshot_manifest(units[-1]) if units else {}


def find_snapshot(folder: Path | None, name: str | None) -> Path:
    """Return a snapshot: by path, by id within a state folder, or the newest there.

    Raises
    ------
    ConfigError
        If neither is given.
    SnapshotError
        If there is none, or the newest is meant and damaged.
    """
    if name is not None and (folder is None or "/" in name):
        return Path(name)
    if folder is None:
        msg = "no snapshot was named; give "
        raise ConfigError(
            msg, SettingName("state"), ", or ", SettingName("snapshot"), " with a path"
        )
    if name is None:
        newest = read_listing(folder).newest()
        if newest is None:
            msg = f"{folder} holds no snapshot yet; `run` writes one when it is due, or stops"
            raise SnapshotError(msg)
        return newest
    check_state(folder)
    for unit in list_units(folder / "snapshots"):
        if unit.name == name:
            return unit
    known = ", ".join(unit.name for unit in list_snapshots(folder)[-3:]) or "none"
    msg = f"{folder} holds no snapshot {name}; the newest are {known}"
    raise SnapshotError(msg)


@contextmanager
def open_snapshot(folder: Path | None, name: str | None) -> Iterator[Path]:
    """Yield a snapshot that is not pruned until the block ends; parameters as `find_snapshot`.

    Raises
    ------
    ConfigError, SnapshotError
        As `find_snapshot` does, and where there is nothing at a path.
    """
    with ExitStack() as stack:
        yield _held_snapshot(folder, name, stack)


def _held_snapshot(folder: Path | None, name: str | None, stack: ExitStack) -> Path:
    """Return a snapshot, locked for reading until the stack is closed.

    The newest can have been pruned before it was locked: then there is a newer one.
    """
    while True:
        unit = find_snapshot(folder, name)
        try:
            stack.enter_context(read_lock(unit))
        except StateError as err:
            is_newest_gone = name is None and not unit.exists()
            if not is_newest_gone:
                raise SnapshotError(str(err)) from err
        else:
            return unit


def verify_snapshots(folder: Path | None, name: str | None) -> list[dict[str, Any]]:
    """Check every byte of snapshots against their manifests.

    Parameters
    ----------
    folder : Path or None
        A state.
    name : str or None
        One snapshot, as `find_snapshot` takes it; None: all of the state.

    Returns
    -------
    list of dict
        For each, in order of id: "snapshot", "intact", and "problem", None where it is undamaged.

    Raises
    ------
    ConfigError, SnapshotError
        If there is no state, or no such snapshot.

    Notes
    -----
    O(bytes). One that is pruned meanwhile is left out.
    """
    verified = []
    for unit in _units(folder, name):
        try:
            with read_lock(unit):
                verified.append(_verified(unit))
        except StateError as err:
            if name is not None or unit.exists():
                raise SnapshotError(str(err)) from err
    return verified


def _units(folder: Path | None, name: str | None) -> list[Path]:
    """Return the snapshots of these arguments, damaged or not."""
    if folder is not None:
        check_state(folder)
        units = list_units(folder / "snapshots")
        chosen = [unit for unit in units if name in (None, unit.name)]
        if chosen or name is None:
            return chosen
    return [find_snapshot(folder, name)]


def _verified(unit: Path) -> dict[str, Any]:
    """Return the result for one snapshot."""
    problem = None
    try:
        snapshot_manifest(unit)
        verify_unit(unit)
    except StateError as err:
        problem = str(err)
    return {"snapshot": unit.name, "intact": problem is None, "problem": problem}
