"""Files that are looked for in several folders, and taken only if their content is right."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import click
import numpy as np

from echo_stream._common.typing import Array
from echo_stream.errors import SourceError

MD5_DIGITS = 32


@dataclass(slots=True)
class Finder:
    """Looks for the files of one data set, and remembers those it had to refuse.

    Attributes
    ----------
    folders : sequence of Path
        Where to look, in this order.
    refused : list of str
        Files that were there under the right name, with other content.
    """

    folders: Sequence[Path]
    refused: list[str] = field(default_factory=list)

    def read(self, places: Sequence[str], digest: str) -> bytes | None:
        """Return the content of the first file that is the right one, or None.

        Parameters
        ----------
        places : sequence of str
            Paths in a folder. With `.gz` behind it a file is taken too, and unpacked.
        digest : str
            MD5 or SHA-256 of the content, unpacked.
        """
        for path in self.paths([f"{place}{end}" for place in places for end in ("", ".gz")]):
            content = unpacked(path)
            if self.accepts(path, content, digest):
                return content
        return None

    def paths(self, places: Sequence[str]) -> Iterator[Path]:
        """Yield those of some places in the folders where there is a file."""
        for folder in self.folders:
            yield from (folder / place for place in places if (folder / place).is_file())

    def accepts(self, path: Path, content: bytes, digest: str, part: str = "") -> bool:
        """Return whether content is what it should be; else note that path is not.

        Parameters
        ----------
        path : Path
        content : bytes
            All that is in it, or what a part of it holds.
        digest : str
            MD5 or SHA-256 of the content.
        part : str
            Whose it is, for the note, with a space behind it: `"x_train's "`.
        """
        if is_authentic(content, digest):
            return True
        kind = "MD5" if len(digest) == MD5_DIGITS else "SHA-256"
        packed = ", unpacked," if path.suffix == ".gz" else ""
        self.refuse(path, f"its {part}{kind}{packed} is not {digest}")
        return False

    def refuse(self, path: Path, why: str) -> None:
        """Note that a file was there under the right name, and why it is not taken."""
        self.refused.append(f"{path} is not the file meant: {why}")

    def missing(self, name: str, how: str) -> SourceError:
        """Return the error that says what is missing, and how to get it."""
        where = f"in {', '.join(map(str, self.folders))}" if self.folders else "without a folder"
        what = f"there is no {'right ' if self.refused else ''}{name} {where}"
        return SourceError("; ".join([what, *self.refused, how]))


def remark(path: Path, words: str) -> None:
    """Say on stderr what is to be known of a file that is taken."""
    click.echo(f"{path}: {words}", err=True)


def unpacked(path: Path) -> bytes:
    """Return the content of a file, that of a damaged .gz as it is."""
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error):
        return content


def arrays_of(path: Path, names: Sequence[str]) -> list[Array] | None:
    """Return some arrays of an `.npz` file; None of a damaged one, or one that lacks them."""
    try:
        with path.open("rb") as file, np.load(file) as archive:
            return [archive[name] for name in names]
    except (KeyError, TypeError, ValueError, OSError, EOFError, BadZipFile, zlib.error):
        return None  # TypeError: it is a .npy


def as_uint8(values: Array) -> Array | None:
    """Return numbers as uint8, in one piece; None unless all stay what they are."""
    if values.dtype.kind not in "uif":
        return None
    with np.errstate(invalid="ignore"):  # of numbers too large, which the comparison finds
        plain = np.ascontiguousarray(values, np.uint8)
    return plain if np.array_equal(plain, values) else None


def is_authentic(content: bytes, digest: str) -> bool:
    """Return whether content has an MD5 or SHA-256."""
    name = "md5" if len(digest) == MD5_DIGITS else "sha256"
    return hashlib.new(name, content, usedforsecurity=False).hexdigest() == digest
