"""Folders that are written atomically.

A unit (a checkpoint, a snapshot, a generation, a model) is a folder of files with a
manifest that names each file's size and SHA-256. It is written under a temporary
name and renamed, so a reader never sees half of one, whenever the writer dies.
"""

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

from echo_stream.connectors.process.retrying import is_transient
from echo_stream.connectors.storage.durable import close_to_others, flush, make_folder, opener
from echo_stream.errors import InfrastructureError, StateError

FileWriter = Callable[[Path], None]

MANIFEST = "manifest.json"
TEMPORARY_PREFIX = ".tmp-"
_REMEMBERED_FILES = 65_536  # whose checksums a process keeps, of a few hundred bytes each


def write_unit(
    destination: Path,
    files: Mapping[str, FileWriter],
    manifest: Mapping[str, Any],
    *,
    manifest_name: str = MANIFEST,
    publishing: AbstractContextManager[None] | None = None,
) -> None:
    """Write a unit at destination, atomically and durably, readable for its owner alone.

    1. Write and flush each file under a temporary name. 2. Write the manifest, with the
    files' checksums, last. 3. Flush the folder, rename it, flush its parent.

    Parameters
    ----------
    destination : Path
        The folder to create. Its parent is created too.
    files : mapping of str to callable
        What writes each file, given the path to write to.
    manifest : mapping
        Any description of the unit, as JSON; the key "files" is added.
    manifest_name : str
    publishing : context manager, optional
        Entered for the renaming alone; what it raises before leaves nothing behind.

    Raises
    ------
    StateError
        If destination exists, or may not be written.
    InfrastructureError
        If the disk is full.
    """
    temporary = destination.parent / f"{TEMPORARY_PREFIX}{destination.name}-{uuid.uuid4().hex}"
    try:
        if destination.exists():
            raise _exists(destination)
        make_folder(temporary)
        for name, write in files.items():
            write(temporary / name)
            close_to_others(temporary / name)
            flush(temporary / name)
        write_manifest(temporary / manifest_name, manifest, list(files))
        flush(temporary / manifest_name)
        flush(temporary)
        with publishing or nullcontext():
            temporary.rename(destination)
            flush(destination.parent)
    except OSError as err:
        msg = (
            f"cannot write {destination}: {err.strerror or err}; free space or give another folder"
        )
        raise (InfrastructureError if is_transient(err) else StateError)(msg) from err
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_manifest(path: Path, manifest: Mapping[str, Any], names: Sequence[str]) -> None:
    """Write a manifest that lists files beside it with their checksums."""
    listed = {name: _describe(path.parent / name) for name in names}
    whole = {**manifest, "files": listed}
    with open(path, "w", encoding="utf-8", opener=opener) as file:
        file.writelines(json_pieces({**whole, "sha256": _digest(whole)}, indent=2))
        file.write("\n")


def read_manifest(unit: Path, *, manifest_name: str = MANIFEST) -> dict[str, Any]:
    """Return the manifest of a unit.

    Raises
    ------
    StateError
        If there is no such unit, or its manifest is damaged.
    """
    path = unit / manifest_name
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        msg = f"cannot read {path}: {err.strerror}"
        raise StateError(msg) from err
    except (ValueError, RecursionError) as err:
        msg = f"{path} is damaged: it is not JSON ({err})"
        raise StateError(msg) from err
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        msg = f"{path} is damaged: it lists no files"
        raise StateError(msg)
    if manifest.pop("sha256", None) != _digest(manifest):
        msg = f"{path} is damaged: its checksum is not that of its content"
        raise StateError(msg)
    return manifest


def verify_unit(unit: Path, *, manifest_name: str = MANIFEST) -> dict[str, Any]:
    """Check every byte of a unit against its manifest, and return the manifest.

    Raises
    ------
    StateError
        If a file is missing, or its content is not what was written.
    """
    manifest = read_manifest(unit, manifest_name=manifest_name)
    for name in manifest["files"]:
        _check(unit, manifest, name, _describe, manifest_name)
    return manifest


def check_files(unit: Path, manifest: Mapping[str, Any], names: Iterable[str]) -> None:
    """Check files of a unit against its manifest before they are read.

    The bytes of a file are read for it once in a process, until its inode, size or times are
    others: files of a unit never change, so a write to one is detected, and what a disk
    loses in one that has been read before is not.

    Raises
    ------
    StateError
        If a file is missing, or its content is not what was written.
    """
    for name in names:
        _check(unit, manifest, name, _described, MANIFEST)


def list_units(parent: Path, *, manifest_name: str = MANIFEST) -> list[Path]:
    """Return the units in a folder, in order of name; half-written ones are skipped."""
    if not parent.is_dir():
        return []
    return sorted(
        path
        for path in parent.iterdir()
        if not path.name.startswith(TEMPORARY_PREFIX) and (path / manifest_name).is_file()
    )


def remove_broken(destination: Path) -> None:
    """Remove a folder in the place of a unit that is none. Only under the lock."""
    if destination.is_dir() and not (destination / MANIFEST).is_file():
        shutil.rmtree(destination)


def temporary_of(path: Path) -> Path:
    """Return the temporary name of a file that one writer replaces atomically."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}")


def remove_leftovers(parent: Path) -> None:
    """Remove unfinished files of writers that died. Only under the lock."""
    for path in parent.glob(f"{TEMPORARY_PREFIX}*") if parent.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True)


def check_free(destination: Path) -> None:
    """Raise StateError if something is where a unit is to be written."""
    if destination.exists():
        raise _exists(destination)


def _exists(destination: Path) -> StateError:
    """Return the error for a destination that is taken."""
    return StateError(f"{destination} already exists; remove it or give another path")


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's content, whatever its layout."""
    digest = hashlib.sha256()
    for piece in json_pieces(manifest, sort_keys=True):
        digest.update(piece.encode())
    return digest.hexdigest()


def _check(
    unit: Path,
    manifest: Mapping[str, Any],
    name: str,
    describe: Callable[[Path], dict[str, Any]],
    manifest_name: str,
) -> None:
    """Compare a file of a unit with its manifest."""
    path, expected = unit / name, manifest["files"].get(name)
    try:
        found = describe(path)
    except (FileNotFoundError, IsADirectoryError) as err:
        msg = f"{path} is missing"
        raise StateError(msg) from err
    except OSError as err:
        msg = f"cannot read {path}: {err.strerror}"
        raise StateError(msg) from err
    if found != expected:
        msg = f"{path} is damaged: its checksum is not the one in {manifest_name}"
        raise StateError(msg)


def _describe(path: Path) -> dict[str, Any]:
    """Return size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def _described(path: Path) -> dict[str, Any]:
    """Return what `_describe` does, from memory where the file is the same as the last time."""
    found = path.stat()
    return _remembered(
        path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    )


@lru_cache(maxsize=_REMEMBERED_FILES)
def _remembered(path: Path, _identity: tuple[int, ...]) -> dict[str, Any]:
    """Describe a file that has not been seen before."""
    return _describe(path)


ITEMS_AT_ONCE = 1_000


def json_pieces(value: Any, *, sort_keys: bool = False, indent: int | None = None) -> Iterator[str]:
    """Yield what `json.dumps` would return, a piece at a time. O(size).

    The json module writes a value in one call that holds the interpreter to its end, which
    of a large state is too long for the thread that counts. Its own way in pieces takes ten
    times as long.

    Parameters
    ----------
    value : object
        As `json.dumps` takes it; finite.
    sort_keys : bool
    indent : int, optional
        Each key of an object on a line of its own, with so many spaces more in each
        object. Lists stay on one line.

    Examples
    --------
    >>> print("".join(json_pieces({"b": [1, 2], "a": {"c": None}}, sort_keys=True, indent=2)))
    {
      "a": {
        "c": null
      },
      "b": [1, 2]
    }
    """
    yield from _pieces(value, sort_keys=sort_keys, indent=indent, depth=0)


def _pieces(value: Any, *, sort_keys: bool, indent: int | None, depth: int) -> Iterator[str]:
    """Yield a value that stands so deep in objects."""
    if isinstance(value, list) and len(value) > ITEMS_AT_ONCE:
        for start in range(0, len(value), ITEMS_AT_ONCE):
            items = _dumps(value[start : start + ITEMS_AT_ONCE], sort_keys=sort_keys)
            yield (", " if start else "[") + items[1:-1]
        yield "]"
    elif isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        between, end = (", ", "") if indent is None else _breaks(indent, depth)
        lead = "{" + between[1 if indent is not None else 2 :]
        for key in sorted(value) if sort_keys else value:
            yield f"{lead}{_dumps(key)}: "
            yield from _pieces(value[key], sort_keys=sort_keys, indent=indent, depth=depth + 1)
            lead = between
        yield end + "}"
    else:
        yield _dumps(value, sort_keys=sort_keys)


def _breaks(indent: int, depth: int) -> tuple[str, str]:
    """Return what stands between the entries of an object, and before its end."""
    return ",\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth


def _dumps(value: Any, *, sort_keys: bool = False) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(value, sort_keys=sort_keys, allow_nan=False)
