"""The state folder: its permissions, its lock, what is in it, and the disk it is on."""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from echo_stream.connectors.group.view import GroupView
from echo_stream.connectors.inspect.doctor.finding import Finding
from echo_stream.connectors.runner.status_reader import read_members, read_status
from echo_stream.connectors.storage.snapshots import is_state
from echo_stream.connectors.storage.state_store import GROUP_MANIFEST
from echo_stream.connectors.storage.units import list_units, verify_unit
from echo_stream.errors import StateError

_FREE_BYTES = 1024**3
_CHECKPOINT_ROOM = 5  # checkpoints that must fit: three are kept, one is written, one to spare
_REMOTE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "ceph", "lustre")
_PARTS = ("checkpoints", "segments", "generations", "snapshots", "models", "dead-letters")


def check_state_folder(folder: Path) -> Iterator[Finding]:
    """Look at a state folder, without changing anything in it."""
    if not folder.exists():
        yield _new(folder)
    elif not folder.is_dir():
        yield Finding("state", "fail", f"{folder} is not a folder", "give another --state")
        return
    else:
        yield _access(folder)
        if (folder / GROUP_MANIFEST).exists():
            yield _members(folder)
            yield _segments(folder)
        else:
            yield _lock(folder)
            yield _checkpoints(folder)
        yield _one_disk(folder)
    place = next(each for each in (folder, *folder.resolve().parents) if each.is_dir())
    yield _space(place, folder)
    yield _file_system(place)


def newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of the newest checkpoint that is whole; None where there is none."""
    for unit in reversed(list_units(folder / "checkpoints")):
        try:
            return verify_unit(unit)
        except StateError:
            continue  # `_checkpoints` tells of it
    return None


def _new(folder: Path) -> Finding:
    """Look whether a state could be made."""
    parent = next(each for each in folder.resolve().parents if each.exists())
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Finding("state", "ok", f"{folder} is not there yet; a run creates it")
    advice = "give this user the right to write there, or give another --state"
    return Finding("state", "fail", f"{folder} cannot be created in {parent}", advice)


def _access(folder: Path) -> Finding:
    """Look who may read and write."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        advice = "mount it writable, or give another --state"
        return Finding("state", "fail", f"{folder} is on a read-only file system", advice)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        advice = f"chown -R {psutil.Process().username()} {folder}, or give another --state"
        return Finding(
            "state", "fail", f"{folder} cannot be read and written by the current user", advice
        )
    if any(folder.iterdir()) and not is_state(folder):
        found = f"{folder} is not a state, and holds something else"
        return Finding("state", "warn", found, "give a folder of its own, or that of the state")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        found = f"{folder} is open to others (mode {mode:04o}), and holds samples as they are"
        return Finding("state", "warn", found, f"chmod 700 {folder}")
    return Finding("state", "ok", f"{folder} is only readable by the current user")


def _lock(folder: Path) -> Finding:
    """Check whether the state is in use. Takes the lock for a moment, if it is free."""
    path = folder / "lock"
    if not path.exists():
        return Finding("lock", "ok", "the state has not been used yet")
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Finding("lock", "ok", f"held by {_holder(folder)}")
    except OSError as err:
        advice = "put the state on a disk of this machine"
        return Finding("lock", "fail", f"{path} cannot be locked: {err.strerror}", advice)
    return Finding("lock", "ok", "free")


def _holder(folder: Path) -> str:
    """Return what holds the lock, as far as the status file says."""
    try:
        status = read_status(folder)
    except StateError:
        return "a run whose status cannot be read"
    if status["liveness"] != "alive":
        return "another command"
    return f"the run of pid {status['pid']}, which is {status['phase']}"


def _members(folder: Path) -> Finding:
    """Look who shares the state of a group."""
    try:
        states = [member["liveness"] for member in read_members(folder)]
    except StateError as err:
        return Finding("lock", "warn", str(err), "end that member and start it again")
    return Finding(
        "lock", "ok", f"shared by a group, of which {states.count('alive')} members are alive"
    )


def _segments(folder: Path) -> Finding:
    """Verify the segments of a group, and that they fit together. O(bytes)."""
    try:
        segments = GroupView(folder).current()
    except StateError as err:
        advice = "restore the folder from a backup, or give another --state"
        return Finding("checkpoint", "fail", str(err), advice)
    n = sum(segment.n for segment in segments)
    found = f"{len(segments)} segments are undamaged and fit together, with {n} samples"
    return Finding("checkpoint", "ok", found if segments else "no segment yet")


def _checkpoints(folder: Path) -> Finding:
    """Verify checkpoints, newest first, until one is whole. O(bytes)."""
    units, damaged = list_units(folder / "checkpoints"), []
    for unit in reversed(units):
        try:
            manifest = verify_unit(unit)
        except StateError as err:
            damaged.append(str(err))
            continue
        found = f"{unit.name} of {manifest['time']} is undamaged, with {manifest['n']} samples"
        if not damaged:
            return Finding("checkpoint", "ok", found)
        advice = "a run continues from it and reads the rest again; check the disk"
        return Finding("checkpoint", "warn", f"{found}; newer: {'; '.join(damaged)}", advice)
    if not units:
        return Finding("checkpoint", "ok", "none yet")
    advice = "restore the folder from a backup, or give another --state"
    return Finding("checkpoint", "fail", f"all are damaged: {'; '.join(damaged)}", advice)


def _one_disk(folder: Path) -> Finding:
    """Look whether all parts are on one file system: only there is a rename atomic."""
    device = folder.stat().st_dev
    parts = [folder / name for name in _PARTS]
    elsewhere = [str(part) for part in parts if part.exists() and part.stat().st_dev != device]
    if not elsewhere:
        return Finding("one disk", "ok", "all parts are on one file system")
    advice = "move the whole state, not parts of it"
    return Finding("one disk", "warn", f"on another file system: {', '.join(elsewhere)}", advice)


def _space(place: Path, folder: Path) -> Finding:
    """Look whether there is room for what a run writes next."""
    free = shutil.disk_usage(place).free
    segments = (folder / "segments").glob("[!.]*")
    units = [unit for part in (folder / "checkpoints", *segments) for unit in list_units(part)]
    size = sum(file.stat().st_size for file in units[-1].iterdir()) if units else 0
    found = f"{free / 1024**3:.1f} GiB free"
    if free < _CHECKPOINT_ROOM * size:
        advice = "free some, prune snapshots, or move the state to a larger disk"
        return Finding("space", "fail", f"{found}; a checkpoint takes {size} bytes", advice)
    if free < _FREE_BYTES:
        return Finding("space", "warn", found, "free some, or keep fewer snapshots")
    return Finding("space", "ok", found)


def _file_system(place: Path) -> Finding:
    """Look what kind of file system it is: locks and flushes of some are only promises."""
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    place = place.resolve()
    kind = next((mounts[each] for each in (place, *place.parents) if each in mounts), "unknown")
    if not kind.startswith(_REMOTE):
        return Finding("file system", "ok", kind)
    advice = "put the state on a local disk, and copy snapshots from there"
    found = f"{kind}: locks, renames and flushes may not hold over a network"
    return Finding("file system", "warn", found, advice)
