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
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a folder to write in, which becomes target when the block ends without an error.

    Raises
    ------
    ConfigError
        If target already exists, or cannot be written.
    """
    _check_target(target)
    if target.exists():
        raise _exists(target)
    temporary = target.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        temporary.mkdir()
        yield temporary
        _flush_tree(temporary)
        temporary.rename(target)
        flush(target.parent)
    except OSError as err:
        msg = f"cannot write {target}: {err.strerror}"
        raise ConfigError(msg) from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def new_file(target: Path, suffix: str, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file to write, which becomes target when the block ends without an error.

    Raises
    ------
    ConfigError
        If target has another suffix, already exists, or cannot be written.
    """
    if target.suffix != suffix:
        msg = f"{target} is not a {suffix} file; give a name that ends in {suffix}"
        raise ConfigError(msg)
    _check_target(target)
    if target.exists() and not (overwrite and target.is_file()):
        raise _exists(target)
    temporary = target.with_name(f".tmp-{uuid.uuid4().hex}{suffix}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        flush(target.parent)
    except OSError as err:
        msg = f"cannot write {target}: {err.strerror}"
        raise ConfigError(msg) from err
    finally:
        temporary.unlink(missing_ok=True)


def _flush_tree(folder: Path) -> None:
    """Make a folder durable with all that is in it. O(files)."""
    for path in folder.rglob("*"):
        flush(path)
    flush(folder)


def _check_target(target: Path) -> None:
    """Refuse a name that is too long, and a folder that is not there."""
    if len(target.name.encode()) > _MAX_NAME_BYTES:
        msg = f"a file's name has at most {_MAX_NAME_BYTES} bytes; got {len(target.name.encode())}"
        raise ConfigError(msg)
    if not target.parent.is_dir():
        msg = f"there is no folder {target.parent}; create it, or give another path"
        raise ConfigError(msg)


def _exists(target: Path) -> ConfigError:
    """Return the error for a target that is taken."""
    return ConfigError(f"{target} already exists; remove it or give another path")
