"""Files that commands write for users: atomically, durably, and never over another one.

What has been written survives a power cut.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from echo_stream.connectors.storage.durable import flush
from echo_stream.errors import ConfigError

_MAX_NAME_BYTES = 200  # file systems take 255; a temporary name needs some of them


@contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """Yield a folder to write in, which becomes destination when the block ends without an error.

    Raises
    ------
    ConfigError
        If destination already exists, or cannot be written.
    """
    _check_destination(destination)
    if destination.exists():
        raise _exists(destination)
    temporary = destination.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        temporary.mkdir()
        yield temporary
        _flush_tree(temporary)
        temporary.rename(destination)
        flush(destination.parent)
    except OSError as err:
        msg = f"cannot write {destination}: {err.strerror}"
        raise ConfigError(msg) from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(destination: Path, suffix: str, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file to write, which becomes destination when the block ends without an error.

    Raises
    ------
    ConfigError
        If destination has another suffix, already exists, or cannot be written.
    """
    if destination.suffix != suffix:
        msg = f"{destination} is not a {suffix} file; give a name that ends in {suffix}"
        raise ConfigError(msg)
    _check_destination(destination)
    if destination.exists() and not (overwrite and destination.is_file()):
        raise _exists(destination)
    temporary = destination.with_name(f".tmp-{uuid.uuid4().hex}{suffix}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(destination)
        flush(destination.parent)
    except OSError as err:
        msg = f"cannot write {destination}: {err.strerror}"
        raise ConfigError(msg) from err
    finally:
        temporary.unlink(missing_ok=True)


def _flush_tree(folder: Path) -> None:
    """Make a folder durable with all that is in it. O(files)."""
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)


def _check_destination(destination: Path) -> None:
    """Refuse a name that is too long, and a folder that is not there."""
    size = len(destination.name.encode())
    if size > _MAX_NAME_BYTES:
        msg = f"a file's name has at most {_MAX_NAME_BYTES} bytes; got {size}"
        raise ConfigError(msg)
    if not destination.parent.is_dir():
        msg = f"there is no folder {destination.parent}; create it, or give another path"
        raise ConfigError(msg)


def _exists(destination: Path) -> ConfigError:
    """Return the error for a destination that is taken."""
    return ConfigError(f"{destination} already exists; remove it or give another path")
