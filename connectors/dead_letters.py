"""Messages that are no samples, kept in the state folder as JSON lines."""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from echo_stream.errors import StateError
from echo_stream.samples import Origin
from echo_stream.source import RejectedSample

FILE_NAME = "dead-letters.jsonl"


class DeadLetterFile:
    """Append rejected messages to `dead-letters/dead-letters.jsonl`.

    A line holds reason, message, origin, and key, value and headers in base64. After a
    crash a message can be there twice; its topic, partition and offset tell.

    Parameters
    ----------
    folder : Path
        The state's `dead-letters`; created with the first message.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._file: IO[str] | None = None

    def write(self, rejected: Sequence[RejectedSample]) -> None:
        """Append messages. Durable after `flush`."""
        try:
            file = self._opened()
            file.writelines(json.dumps(_as_json(message)) + "\n" for message in rejected)
        except OSError as err:
            raise self._error(err) from err

    def flush(self) -> None:
        """Make everything written durable."""
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as err:
            raise self._error(err) from err

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> IO[str]:
        """Open the file when it is first needed; end a line that a crash has cut."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8")
            # A blank line does no harm, and ends one that a crash has cut.
            if self._file.tell():
                self._file.write("\n")
        return self._file

    def _error(self, err: OSError) -> StateError:
        """Return the error for a disk that refuses."""
        return StateError(f"cannot write {self._path}: {err.strerror}; nothing has been skipped")


def read_dead_letters(folder: Path) -> Iterator[tuple[int, RejectedSample | None]]:
    """Yield number and message of each line; blank ones are passed over.

    Parameters
    ----------
    folder : Path
        The state's `dead-letters`; where it is not there, nothing has been rejected.

    Yields
    ------
    tuple of (int, RejectedSample or None)
        The line's number in the file, from 1, and its message; None where the line is cut,
        by a crash or by a run that is still writing it.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _from_json(line)


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
    )


def _as_json(message: RejectedSample) -> dict[str, Any]:
    """Return a message as a JSON object."""
    return {
        "reason": message.reason,
        "message": message.message,
        "origin": None if message.origin is None else message.origin._asdict(),
        "key": _encoded(message.key),
        "value": _encoded(message.value),
        "headers": [[name, _encoded(value)] for name, value in message.headers],
    }


def _encoded(data: bytes | None) -> str | None:
    """Return bytes as base64 text."""
    return None if data is None else base64.b64encode(data).decode()


def _decoded(text: str | None) -> bytes | None:
    """Return the bytes that base64 text stands for."""
    return None if text is None else base64.b64decode(text, validate=True)
