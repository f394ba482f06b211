"""Readers lock a unit while they read it; a unit without readers can be removed.

A reader holds a shared lock (flock) on the unit's folder; code that removes units takes
the exclusive one, without waiting, and skips a unit that it cannot lock. Locks end
with their process, so a reader that was killed blocks nothing.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from echo_stream.connectors.storage.units import TEMPORARY_PREFIX
from echo_stream.errors import StateError


@contextmanager
def read_lock(unit: Path) -> Iterator[None]:
    """Keep a unit from being removed until the block ends.

    Raises
    ------
    StateError
        If it is not there, or has just been removed.
    """
    handle = _opened(unit)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        if not _is_still(unit, handle):
            msg = f"{unit} has been removed; `echo-stream snapshots list` shows what is there"
            raise StateError(msg)
        yield
    finally:
        os.close(handle)


def remove_unit(unit: Path, *, is_kept: Callable[[Path], bool] | None = None) -> bool:
    """Remove a unit, unless it is being read; tell whether it is gone.

    It is renamed first, so that no reader finds a part of it.

    Parameters
    ----------
    unit : Path
    is_kept : callable, optional
        Called when no reader can come any more; if it returns True, the unit stays.

    Raises
    ------
    StateError
        If it cannot be removed.
    """
    try:
        handle = _opened(unit)
    except StateError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_kept is not None and is_kept(unit):
            return False
        doomed = unit.with_name(f"{TEMPORARY_PREFIX}{unit.name}-{uuid.uuid4().hex}")
        if _is_still(unit, handle):
            unit.rename(doomed)
            shutil.rmtree(doomed)
    except BlockingIOError:
        return False
    except OSError as err:
        msg = f"cannot remove {unit}: {err.strerror or err}; remove it by hand"
        raise StateError(msg) from err
    finally:
        os.close(handle)
    return True


def _opened(unit: Path) -> int:
    """Open a unit's folder."""
    try:
        return os.open(unit, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as err:
        msg = f"cannot read {unit}: {err.strerror}"
        raise StateError(msg) from err


def _is_still(unit: Path, handle: int) -> bool:
    """Return whether the folder that was opened is the one of that name now."""
    try:
        return os.path.samestat(unit.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
