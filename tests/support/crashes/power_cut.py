"""What a power cut may leave of a folder: no more than what was flushed.

A file system may forget, unless it was flushed, what a file holds, which names a folder
has, and that something was renamed. A `Ledger` notes what was flushed; `cut_power`
makes a folder look as it would at the worst.
"""

import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Ledger:
    """What would be there after a power cut, by path.

    Attributes
    ----------
    names : dict
        Of each folder that was flushed: its names then.
    files : dict
        Of each file that was flushed: its size, and when it had been changed.
    renamed : list of (str, str)
        What was renamed, from and to, since the folder of its new name was flushed.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[int]] = field(default_factory=dict)
    renamed: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> "Ledger":
        """Return the ledger of a folder of which everything is durable."""
        ledger = cls()
        for path in (folder, *folder.rglob("*")):
            ledger.flushed(path)
        return ledger

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as a JSON object; `Ledger(**content)` undoes it."""
        return asdict(self)

    def flushed(self, path: Path) -> None:
        """Note that a file or folder has been flushed."""
        if path.is_dir():
            self.names[str(path)] = [each.name for each in path.iterdir()]
            self.renamed = [pair for pair in self.renamed if Path(pair[1]).parent != path]
        else:
            self.files[str(path)] = _state_of(path)

    def will_rename(self, old: Path, new: Path) -> None:
        """Note that something is about to be renamed; what is replaced will not come back."""
        if not new.exists():
            self.renamed.append((str(old), str(new)))
        self.moved(old, new)

    def will_link(self, old: Path, new: Path) -> None:
        """Note that a file is about to get another name, under which it holds the same."""
        if str(old) in self.files:
            self.files[str(new)] = self.files[str(old)]

    def will_remove(self, path: Path) -> None:
        """Note that a file or folder is about to be removed."""
        self.names.pop(str(path), None)
        self.files.pop(str(path), None)

    def moved(self, old: Path, new: Path) -> None:
        """Give what is known of something and of what is in it its new name."""
        self.names = {_moved(path, old, new): each for path, each in self.names.items()}
        self.files = {_moved(path, old, new): each for path, each in self.files.items()}


def cut_power(folder: Path, ledger: Ledger) -> None:
    """Take from a folder what was not flushed.

    1. What was renamed is back where it was. 2. Names that are new are gone. 3. Of what
    was written to a file half is there.
    """
    for old, new in reversed(ledger.renamed):
        if Path(new).exists():
            Path(new).rename(old)
            ledger.moved(Path(new), Path(old))
    _drop_new(folder, ledger)
    for path in folder.rglob("*"):
        if path.is_file():
            _cut(path, ledger.files.get(str(path), [0, 0]))


def _drop_new(folder: Path, ledger: Ledger) -> None:
    """Remove the names that a folder did not have when it was flushed."""
    known = ledger.names.get(str(folder), [])
    for path in folder.iterdir():
        if path.name in known:
            if path.is_dir():
                _drop_new(path, ledger)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _cut(path: Path, flushed: list[int]) -> None:
    """Take half of what was written to a file since it was flushed."""
    size, time = _state_of(path)
    if [size, time] != flushed:
        os.truncate(path, (min(flushed[0], size) + size) // 2)


def _state_of(path: Path) -> list[int]:
    """Return a file's size, and when it was changed."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def _moved(path: str, old: Path, new: Path) -> str:
    """Return where a path is once a folder above it, or itself, has been renamed."""
    inside = Path(path)
    return str(new / inside.relative_to(old)) if inside.is_relative_to(old) else path
