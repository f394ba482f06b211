"""Where a state keeps dead letters: in files that are named by the number of their first one.

The newest file, `<number>.jsonl`, is appended to; all before it are compressed, as
`<number>.jsonl.gz`, and never change. Numbers begin at 1 and go on, so that of the oldest
file tells how many dead letters have been removed.
"""

import gzip
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from echo_stream.connectors.dead_letters.limits import MAX_FILE_BYTES, MAX_PAYLOAD_BYTES
from echo_stream.connectors.storage.durable import flush, opener
from echo_stream.connectors.storage.units import temporary_of
from echo_stream.errors import StateError

_NUMBER_DIGITS = 12
_PLAIN, _COMPRESSED = ".jsonl", ".jsonl.gz"
FIRST_FILE = f"{1:0{_NUMBER_DIGITS}d}{_PLAIN}"
_LEVEL = 1  # of compression, which a checkpoint waits for
_MAX_LINE_BYTES = 5 * MAX_PAYLOAD_BYTES  # value, key and headers in base64, and the rest
MAX_UNPACKED_BYTES = 2 * MAX_FILE_BYTES + _MAX_LINE_BYTES
MAX_LINES = 1_000_000
_COPIED_BYTES = 1024**2  # at a time


class NumberedFile(NamedTuple):
    """A file of dead letters.

    Attributes
    ----------
    first : int
        Number of its first dead letter.
    path : Path
    """

    first: int
    path: Path

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def lines(self) -> Iterator[bytes | None]:
        """Yield the lines; None for one that is longer than any dead letter.

        Raises
        ------
        EOFError, OSError, zlib.error
            If it is damaged, or unpacks to more than such a file has.
        """
        is_packed = self.path.name.endswith(_COMPRESSED)
        with self.path.open("rb") as raw:
            file = gzip.GzipFile(fileobj=raw) if is_packed else raw
            num_lines = unpacked = 0
            is_whole = True  # whether the last piece was the end of a line
            while piece := file.readline(_MAX_LINE_BYTES):
                num_lines, unpacked = num_lines + 1, unpacked + len(piece)
                if is_packed and (unpacked > MAX_UNPACKED_BYTES or num_lines > MAX_LINES):
                    msg = "it unpacks to more than a file of dead letters holds"
                    raise OSError(msg)
                was_whole, is_whole = is_whole, piece.endswith(b"\n")
                is_long = not is_whole and len(piece) == _MAX_LINE_BYTES
                if was_whole:
                    yield None if is_long else piece


DAMAGE = (EOFError, OSError, zlib.error)


def dead_letter_files(folder: Path) -> list[NumberedFile]:
    """Return the files of dead letters, oldest first; of one being compressed, the whole one.

    Raises
    ------
    StateError
        If there is one of another format.
    """
    former = folder / "dead-letters.jsonl"
    if former.exists():
        msg = f"{former} is of an earlier echo-stream, which had one file; move it away"
        raise StateError(msg)
    found: dict[int, Path] = {}
    for suffix in (_PLAIN, _COMPRESSED):  # a compressed one has its name only once it is whole
        for path in folder.glob(f"[0-9]*{suffix}"):
            number = path.name.removesuffix(suffix)
            if number.isdecimal() and number.isascii():
                found[int(number)] = path
    return [NumberedFile(number, found[number]) for number in sorted(found)]


def active_file(folder: Path) -> NumberedFile:
    """Return the file to append to, which may not be there yet. Only under the lock."""
    found = dead_letter_files(folder)
    return found[-1] if found else NumberedFile(1, folder / FIRST_FILE)


def begin_next(folder: Path, active: NumberedFile) -> NumberedFile:
    """Begin the file after one that ends with a whole line, and compress those before it.

    Durable at each step: the next file is there first, so that the one before is never taken
    for the newest again; what a crash leaves to compress the next call does.
    """
    with active.path.open("rb") as file:
        num_lines = sum(piece.count(b"\n") for piece in iter(lambda: file.read(_COPIED_BYTES), b""))
    number = active.first + num_lines
    following = NumberedFile(number, folder / f"{number:0{_NUMBER_DIGITS}d}{_PLAIN}")
    with open(following.path, "ab", opener=opener):
        pass
    flush(folder)
    compress_old(folder)
    return following


def compress_old(folder: Path) -> None:
    """Compress all files but the newest, and remove what is there twice."""
    newest = active_file(folder)
    for path in sorted(folder.glob(f"[0-9]*{_PLAIN}")):
        packed = path.with_name(path.name.removesuffix(_PLAIN) + _COMPRESSED)
        if path == newest.path:
            continue
        if not packed.exists():
            temporary = temporary_of(packed)
            with path.open("rb") as plain, open(temporary, "wb", opener=opener) as raw:
                _pack(plain, raw)
            flush(temporary)
            temporary.rename(packed)
            flush(folder)
        path.unlink()


def _pack(plain: IO[bytes], raw: IO[bytes]) -> None:
    """Compress a file, the same bytes to the same ones."""
    with gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as packed:
        shutil.copyfileobj(plain, packed, _COPIED_BYTES)


def make_room(folder: Path, most_bytes: int) -> int:
    """Remove the oldest files while all take more; return how many dead letters that were."""
    found = dead_letter_files(folder)
    total, num_removed = sum(each.size_bytes for each in found), 0
    while len(found) > 1 and total > most_bytes:
        oldest = found.pop(0)
        total -= oldest.size_bytes
        oldest.path.unlink()
        num_removed += found[0].first - oldest.first
    return num_removed
