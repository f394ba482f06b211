"""Which messages a process is decoding, for the one that comes after it.

A decoder in native code can be killed by what it reads, and its process with it. So before
messages are decoded, their offsets are written into a file of the state. Who finds the note
of a process that has died decodes these messages in a process of their own.

A note is not flushed to the disk: what a process has written, the operating system keeps when
the process dies, and of what the machine was doing when its power failed no message is suspected.
"""

import json
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from echo_stream.connectors.process.retrying import is_transient
from echo_stream.connectors.storage.durable import make_folder
from echo_stream.connectors.storage.state_locks import free_lock, hold_lock
from echo_stream.errors import InfrastructureError, StateError
from echo_stream.samples.samples import Origin

logger = logging.getLogger(__name__)

_NOTE_BYTES = 512  # a topic's name has 249 at most; written at first, so that there is room later
_NOTHING = b"\n"


class Span(NamedTuple):
    """Messages of one "topic/partition", from the first to the last of these offsets."""

    partition: str
    first: int
    last: int


class DecodingNotes:
    """The note of this process, and those of processes that died while they were decoding.

    Parameters
    ----------
    folder : Path
        Of a state, for notes alone; created with the first one. Each process has a file there,
        and holds its lock: members of a group share the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._handle = -1
        self._lock: IO[str] | None = None
        self._is_open = False  # whether something is noted
        self._left: dict[Path, Span] = {}  # notes of the dead

    def look(self) -> None:
        """Take in the notes of processes that have died."""
        for path in self._folder.glob("*.note"):
            if path in self._left or path == self._path:
                continue
            with free_lock(path) as is_free:
                span = _span_in(path) if is_free else None
                if is_free and span is None:
                    path.unlink(missing_ok=True)
            if span is None:
                continue
            logger.warning(
                "a process died while it decoded %s at offsets %d to %d; these are decoded in a "
                "process of their own",
                *span,
            )
            self._left[path] = span

    @property
    def has_suspects(self) -> bool:
        """Whether any message is suspected."""
        return bool(self._left)

    def is_suspect(self, origin: Origin) -> bool:
        """Return whether a process has died while it decoded a message, or others with it."""
        name = _name(origin)
        return any(
            span.partition == name and span.first <= origin.offset <= span.last
            for span in list(self._left.values())  # another thread may take some away
        )

    def begin(self, first: Origin, last: Origin) -> None:
        """Note that messages of one partition are going to be decoded.

        Raises
        ------
        InfrastructureError, StateError
            If the note cannot be written.
        """
        # JSON; a topic's name has nothing to be escaped.
        self._write(f'["{_name(first)}",{first.offset},{last.offset}]\n'.encode())
        self._is_open = True

    def end(self) -> None:
        """Note that they have been decoded."""
        if self._is_open:
            self._write(_NOTHING)
            self._is_open = False

    def passed(self, offsets: Mapping[str, int]) -> None:
        """Forget suspects that lie before offsets that are durable; any thread may."""
        for path, span in list(self._left.items()):
            if offsets.get(span.partition, 0) > span.last:
                path.unlink(missing_ok=True)
                self._left.pop(path, None)

    def close(self) -> None:
        """Remove this process's note, unless decoding has not ended."""
        if self._path is None or self._lock is None:
            return
        if not self._is_open:
            self._path.unlink(missing_ok=True)
        os.close(self._handle)
        self._lock.close()
        self._path = self._lock = None

    def _write(self, line: bytes) -> None:
        """Write a note over the one before it."""
        try:
            if self._path is None:
                self._open()
            os.pwrite(self._handle, line, 0)
        except OSError as err:
            msg = f"cannot write to {self._folder}: {err.strerror}"
            raise (InfrastructureError if is_transient(err) else StateError)(msg) from err

    def _open(self) -> None:
        """Create the file, and lock it."""
        make_folder(self._folder)
        path = self._folder / f"{uuid.uuid4().hex}.note"
        self._lock = hold_lock(path)
        # Before it was locked, others could take it for that of a dead process, and remove it.
        if not _is_there(path, self._lock):
            self._lock.close()
            self._open()
            return
        self._handle = os.open(path, os.O_WRONLY)
        os.pwrite(self._handle, _NOTHING.ljust(_NOTE_BYTES), 0)
        self._path = path


def _span_in(path: Path) -> Span | None:
    """Return what a note says; None: nothing, as its process died between two."""
    try:
        partition, first, last = json.loads(path.read_bytes().split(b"\n", 1)[0])
        return Span(str(partition), int(first), int(last))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _is_there(path: Path, file: IO[str]) -> bool:
    """Return whether an open file has its name still."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _name(origin: Origin) -> str:
    """Return what offsets call the partition of a message."""
    return f"{origin.topic}/{origin.partition}"
