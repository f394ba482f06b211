"""Files and folders that survive a power cut, and are private to their owner."""

import os
import stat
from pathlib import Path


def flush(path: Path) -> None:
    """Make a file or folder durable: what has been written, or which names it has.

    A new file is there for sure once it and its folder are flushed.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_OPEN_MODE = stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP
"""What a secret's file must not have; a group may read, as those of services do."""


def make_folder(folder: Path) -> None:
    """Create a folder, and those above it that are missing, for the owner alone, durably.

    One that is there already keeps its mode, which may have been set on purpose.
    """
    if folder.is_dir():
        return
    if not folder.parent.exists():
        make_folder(folder.parent)
    folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    folder.chmod(_FOLDER_MODE)
    flush(folder.parent)


def close_to_others(path: Path) -> None:
    """Let only its owner read and write a file."""
    path.chmod(_FILE_MODE)


def opener(path: str, flags: int) -> int:
    """Open a file for `open`, created for the owner alone."""
    handle = os.open(path, flags, _FILE_MODE)
    if flags & os.O_CREAT:
        os.fchmod(handle, _FILE_MODE)
    return handle


def open_to(path: Path) -> str | None:
    """Return who may read or write the file of a secret that should not; None if it is private.

    Raises
    ------
    OSError
        If there is no such file.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _OPEN_MODE:
        return None
    who = "its group" if not mode & (stat.S_IROTH | stat.S_IWOTH) else "every user"
    may = "written" if mode & (stat.S_IWGRP | stat.S_IWOTH) else "read"
    return f"can be {may} by {who} of this machine (mode {mode:04o})"
