"""Invalid messages, stored in the state folder as JSON lines."""

import base64
import json
import logging
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from time import monotonic
from typing import Any

from echo_stream.connectors.dead_letters.limits import DeadLetterLimits
from echo_stream.connectors.dead_letters.message import DeadLetter
from echo_stream.connectors.dead_letters.numbered_files import (
    DAMAGE,
    NumberedFile,
    active_file,
    begin_next,
    compress_old,
    dead_letter_files,
    make_room,
)
from echo_stream.connectors.process.clock import LOG_EVERY_S
from echo_stream.connectors.process.retrying import RetryPolicy, is_transient
from echo_stream.connectors.storage.durable import flush, make_folder, opener
from echo_stream.connectors.storage.state_locks import short_lock
from echo_stream.errors import InfrastructureError, StateError
from echo_stream.run.report import RunStats
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample

logger = logging.getLogger(__name__)

LOCK_FILE = "lock"
_ROOM_FILES = 4  # one that is full, what waited when it was nearly so, and a large dead letter
_PENDING_BYTES = 8 * 1024**2  # written at the latest when so many wait


class DeadLetterFile:
    """Append rejected messages to the newest file of `dead-letters`.

    A line holds reason, message, origin, and key, value and headers in base64. After a
    crash a message can be there twice; its topic, partition and offset tell. Processes that
    share a state share the files: an append leaves whole lines or nothing, and where a process
    has died in the midst of one, the next append ends its line. All files together keep to
    their limit: the oldest are removed before anything is written that would not fit.

    Parameters
    ----------
    folder : Path
        The state's `dead-letters`; created with the first message.
    retries : RetryPolicy
        How long to try again while the disk is full.
    limits : DeadLetterLimits
    stats : RunStats, optional
        Counts what is cut, and what has been removed.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        folder: Path,
        retries: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
        limits: DeadLetterLimits = DeadLetterLimits(),  # noqa: B008 - immutable
        stats: RunStats | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._folder = folder
        self._retries = retries
        self._limits = limits
        self._stats = stats or RunStats()
        self._pending = bytearray()
        self._clock = clock
        self._unlogged_gone, self._logged_s = 0, -math.inf
        self._most_pending = min(_PENDING_BYTES, limits.file_bytes)

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Store messages. Durable after `flush`."""
        for message in rejected:
            kept, size_bytes = self._limits.cut(message)
            self._stats.dead_letters_truncated += size_bytes is not None
            self._pending += _as_line(kept, size_bytes)
            if len(self._pending) > self._most_pending:
                self._retries.retry(self._append)

    def flush(self) -> None:
        """Make everything written durable.

        Raises
        ------
        InfrastructureError
            If the disk stays full. What is not written is kept, for the next call.
        StateError
            If it cannot be written to at all, or another process keeps it locked for a minute.
        """
        if self._pending:
            self._retries.retry(self._append)

    def close(self) -> None:
        """Drop what was not flushed."""
        self._pending.clear()

    def _append(self) -> None:
        """Write what waits, and make it durable.

        1. Remove the oldest files, if what waits would not fit, a compressed copy included.
        2. Append to the newest. 3. Begin another one when it is full.
        """
        path = self._folder
        try:
            make_folder(self._folder)
            with short_lock(self._folder / LOCK_FILE):
                most = self._limits.total_bytes - _ROOM_FILES * self._limits.file_bytes
                self._log_gone(make_room(self._folder, most - len(self._pending)))
                active = active_file(self._folder)
                path = active.path
                self._write(active)
                if active.size_bytes > self._limits.file_bytes:
                    begin_next(self._folder, active)
                else:
                    compress_old(self._folder)  # that a crash has left
        except OSError as err:
            msg = f"cannot write {path}: {err.strerror}; nothing has been skipped"
            raise (InfrastructureError if is_transient(err) else StateError)(msg) from err

    def _log_gone(self, num_removed: int) -> None:
        """Count removed dead letters, and log them, at most once a minute."""
        self._stats.dead_letters_removed += num_removed
        self._unlogged_gone += num_removed
        if self._unlogged_gone and self._clock() >= self._logged_s + LOG_EVERY_S:
            logger.warning(
                "the oldest %d dead letters were removed, so that %s keeps to its size",
                self._unlogged_gone, self._folder,
            )  # fmt: skip
            self._unlogged_gone, self._logged_s = 0, self._clock()

    def _write(self, active: NumberedFile) -> None:
        """Append all that waits, or nothing; end a line that a crash has cut."""
        with FileIO(active.path, "a+", opener=opener) as file:
            end = file.seek(0, os.SEEK_END)
            is_cut = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
            waiting = memoryview(b"\n" * is_cut + self._pending)
            try:
                while waiting:
                    waiting = waiting[file.write(waiting) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        flush(self._folder)  # that it has a name must outlast a power cut, too
        self._pending.clear()


def num_removed(folder: Path) -> int:
    """Return how many of the oldest dead letters of a state have been removed."""
    found = dead_letter_files(folder)
    return found[0].first - 1 if found else 0


def read_dead_letters(folder: Path) -> Iterator[DeadLetter]:
    """Yield the dead letters that there are, oldest first; blank lines are skipped.

    A file that is damaged is named in the log, and read as far as it can be.

    Parameters
    ----------
    folder : Path
        The state's `dead-letters`; where it is not there, nothing has been rejected.

    Yields
    ------
    DeadLetter
        Its place is its number since the state began, from 1; its sample is None where the
        line is cut, by a crash or by a run that is still writing it, or damaged.
    """
    for each in dead_letter_files(folder):
        try:
            for number, line in enumerate(each.lines(), each.first):
                if line is None or line.strip():
                    yield _from_line(number, line)
        except FileNotFoundError:
            # Compressed just now, or gone.
            yield from _read_again(folder, each)
        except DAMAGE as err:
            logger.warning("dead letters skipped: %s is damaged: %s", each.path, err)


def _read_again(folder: Path, former: NumberedFile) -> Iterator[DeadLetter]:
    """Yield the dead letters of a file that has another name by now, if it is there."""
    for found in dead_letter_files(folder):
        if found.first == former.first:
            for number, line in enumerate(found.lines(), found.first):
                if line is None or line.strip():
                    yield _from_line(number, line)


def _from_line(number: int, line: bytes | None) -> DeadLetter:
    """Return the dead letter that a line holds; without a sample: half a line, or damaged."""
    try:
        fields = json.loads(line or b"")
        is_whole = fields.pop("crc32") == _checksum(fields)
    except (ValueError, RecursionError, AttributeError, KeyError):
        is_whole = False
    if not is_whole:
        return DeadLetter(number, None)
    origin, size_bytes = fields["origin"], fields["truncated"]
    sample = RejectedSample(
        reason=fields["reason"],
        message=fields["message"],
        key=_decoded(fields["key"]),
        value=_decoded(fields["value"]),
        headers=tuple((name, _decoded(value)) for name, value in fields["headers"]),
        origin=None if origin is None else Origin(**origin),
        exception=fields["exception"],
        last_offset=fields.get("last_offset"),
        num_messages=fields.get("num_messages", 1),
    )
    return DeadLetter(number, sample, size_bytes is not None, size_bytes)


def _as_line(message: RejectedSample, size_bytes: int | None) -> bytes:
    """Return a message as a line, with its checksum."""
    fields = {**_as_json(message), "truncated": size_bytes}
    return json.dumps({**fields, "crc32": _checksum(fields)}).encode() + b"\n"


def _checksum(fields: dict[str, Any]) -> int:
    """Return the checksum of what a line says."""
    return zlib.crc32(json.dumps(fields).encode())


def _as_json(message: RejectedSample) -> dict[str, Any]:
    """Return a message as a JSON object."""
    batch = {"last_offset": message.last_offset, "num_messages": message.num_messages}
    return {
        "reason": message.reason,
        "message": message.message,
        "exception": message.exception,
        "origin": None if message.origin is None else message.origin._asdict(),
        "key": _encoded(message.key),
        "value": _encoded(message.value),
        "headers": [[name, _encoded(value)] for name, value in message.headers],
        **(batch if message.last_offset is not None else {}),
    }


def _encoded(data: bytes | None) -> str | None:
    """Return bytes as base64 text."""
    return None if data is None else base64.b64encode(data).decode()


def _decoded(text: str | None) -> bytes | None:
    """Return the bytes that base64 text stands for."""
    return None if text is None else base64.b64decode(text, validate=True)
