"""Locks of a state folder. Each is released when the process that holds it ends."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from echo_stream.connectors.process.retrying import is_transient
from echo_stream.connectors.storage.durable import make_folder, opener
from echo_stream.errors import InfrastructureError, SettingName, StateError

WAIT_LIMIT_S = 60.0  # what a lock protects takes milliseconds
_STEP_S = 0.01


def lock_state(folder: Path, *, shared: bool = False) -> IO[str]:
    """Take the lock of a state folder: alone, or together with the members of a group.

    Raises
    ------
    StateError
        If another process has it, or the folder cannot be written to.
    """
    handle = _open(folder / "lock", folder)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as err:
        handle.close()
        msg = f"{folder} is in use by another process; stop it, or give another "
        raise StateError(msg, SettingName("state")) from err
    return handle


def hold_lock(path: Path) -> IO[str]:
    """Take a lock of this process alone, to show that it is alive.

    Raises
    ------
    StateError
        If the folder cannot be written to.
    """
    handle = _open(path, path.parent)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def is_locked(path: Path) -> bool:
    """Return whether a running process holds a lock."""
    try:
        with path.open("r", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def short_lock(path: Path) -> Iterator[None]:
    """Hold a lock within a block, waiting for it up to a minute.

    Raises
    ------
    StateError
        If it is not free by then.
    """
    with _open(path, path.parent) as handle:
        _take_lock(handle, path)
        yield


def _take_lock(handle: IO[Any], path: Path) -> None:
    """Take the lock of an open file, waiting for it up to a minute.

    Raises
    ------
    StateError
        If it is not free by then.
    """
    if not _wait(handle, WAIT_LIMIT_S):
        msg = (
            f"{path} has been locked for {WAIT_LIMIT_S:g} s; look for a member of the "
            "group that is stopped, and end it"
        )
        raise StateError(msg)


@contextmanager
def long_lock(path: Path, *, limit_s: float) -> Iterator[bool]:
    """Hold a lock within a block, and yield whether it could be taken.

    Parameters
    ----------
    path : Path
    limit_s : float
        Seconds to wait for it.

    Raises
    ------
    StateError
        If the folder cannot be written to.
    """
    with _open(path, path.parent) as handle:
        yield _wait(handle, limit_s)


@contextmanager
def free_lock(path: Path) -> Iterator[bool]:
    """Hold a lock within a block if it is free; yield whether it was.

    Raises
    ------
    StateError
        If the folder cannot be written to.
    """
    with _open(path, path.parent) as handle:
        yield _try(handle)


def _wait(handle: IO[Any], limit_s: float) -> bool:
    """Take a lock once it is free, if that is within so many seconds."""
    deadline = time.monotonic() + limit_s
    while not (is_ours := _try(handle)) and time.monotonic() < deadline:
        time.sleep(_STEP_S)
    return is_ours


def _try(handle: IO[Any]) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path, folder: Path) -> IO[str]:
    """Open a lock's file, creating it and its folder; InfrastructureError: no space for it."""
    try:
        make_folder(path.parent)
        return open(path, "a", encoding="utf-8", opener=opener)
    except OSError as err:
        msg = f"cannot use {folder} as a state: {err.strerror}"
        raise (InfrastructureError if is_transient(err) else StateError)(msg) from err
