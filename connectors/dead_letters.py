"""Messages that are no samples, kept in the state folder as JSON lines."""

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from echo_stream.connectors.dead_letter_message import DeadLetter
from echo_stream.connectors.durable import flush
from echo_stream.connectors.private import make_folder, opener
from echo_stream.connectors.retrying import Patience, may_pass
from echo_stream.connectors.state_locks import take_lock
from echo_stream.errors import InfrastructureError, StateError
from echo_stream.samples import Origin
from echo_stream.source import RejectedSample

FILE_NAME = "dead-letters.jsonl"
PENDING_BYTES = 8 * 1024**2  # written at the latest when so many wait


class DeadLetterFile:
    """Append rejected messages to `dead-letters/dead-letters.jsonl`.

    A line holds reason, message, origin, and key, value and headers in base64. After a
    crash a message can be there twice; its topic, partition and offset tell. Processes that
    share a state share the file: an append leaves whole lines or nothing, and where a process
    has died in the midst of one, the next append ends its line.

    Parameters
    ----------
    folder : Path
        The state's `dead-letters`; created with the first message.
    patience : Patience
        How long to try again while the disk is full.
    """

    def __init__(self, folder: Path, patience: Patience = Patience()) -> None:  # noqa: B008 - immutable
        self._path = folder / FILE_NAME
        self._patience = patience
        self._pending = bytearray()
        self._file: FileIO | None = None

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Take messages in. Durable after `flush`."""
        for message in rejected:
            self._pending += json.dumps(_as_json(message)).encode() + b"\n"
        if len(self._pending) > PENDING_BYTES:
            self._patience.retry(self._append)

    def flush(self) -> None:
        """Make everything written durable.

        Raises
        ------
        InfrastructureError
            If the disk stays full. What is not written is kept, for the next call.
        StateError
            If it cannot be written to at all, or another process keeps it locked for a minute.
        """
        if self._file is not None or self._pending:
            self._patience.retry(self._append)

    def close(self) -> None:
        """Close, without what was not flushed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self) -> None:
        """Write what waits, and make it durable."""
        try:
            self._file = self._file or self._opened()
            take_lock(self._file, self._path)
            try:
                self._write(self._file)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            flush(self._path.parent)  # that it has a name must outlast a power cut, too
        except OSError as err:
            msg = f"cannot write {self._path}: {err.strerror}; nothing has been skipped"
            raise (InfrastructureError if may_pass(err) else StateError)(msg) from err

    def _write(self, file: FileIO) -> None:
        """Append all that waits, or nothing; end a line that a crash has cut."""
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
        self._pending.clear()

    def _opened(self) -> FileIO:
        """Open the file when it is first needed."""
        make_folder(self._path.parent)
        return FileIO(self._path, "a+", opener=opener)


def read_dead_letters(folder: Path) -> Iterator[DeadLetter]:
    """Yield the dead letter of each line; blank ones are passed over.

    Parameters
    ----------
    folder : Path
        The state's `dead-letters`; where it is not there, nothing has been rejected.

    Yields
    ------
    DeadLetter
        Its place is the line's number in the file, from 1; its sample is None where the line
        is cut, by a crash or by a run that is still writing it.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield DeadLetter(number, _from_json(line))


def _from_json(line: bytes) -> RejectedSample | None:
    """Return the message that a line holds; None for half a line."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    origin = fields["origin"]
    return RejectedSample(
        reason=fields["reason"],
        message=fields["message"],
        key=_decoded(fields["key"]),
        value=_decoded(fields["value"]),
        headers=tuple((name, _decoded(value)) for name, value in fields["headers"]),
        origin=None if origin is None else Origin(**origin),
        exception=fields.get("exception", ""),
        last_offset=fields.get("last_offset"),
        num_messages=fields.get("num_messages", 1),
    )


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
