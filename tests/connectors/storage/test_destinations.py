"""What commands write for people: there as a whole once the call has returned, whatever follows."""

import os
from pathlib import Path
from typing import Any

import pytest

from echo_stream.connectors.storage.destinations import new_file, new_folder
from tests.support.crashes.power_cut import Ledger, cut_power


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """Return a ledger of the folder, told of what is flushed and renamed from now on."""
    found, fsync = Ledger.of(tmp_path), os.fsync

    def flushing(handle: int) -> None:
        """Flush, and note it."""
        fsync(handle)
        found.flushed(Path(f"/proc/self/fd/{handle}").readlink())

    monkeypatch.setattr(os, "fsync", flushing)
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, noted(found, getattr(Path, name)))
    return found


def noted(ledger: Ledger, rename: Any) -> Any:
    """Return what renames a path, and notes it before."""

    def renaming(self: Path, destination: Path) -> Path:
        ledger.will_rename(self, destination)
        new: Path = rename(self, destination)
        return new

    return renaming


def test_file_outlasts_a_power_cut(tmp_path: Path, ledger: Ledger) -> None:
    """Content and name are durable."""
    with new_file(tmp_path / "map.png", ".png") as file:
        file.write(b"picture")
    cut_power(tmp_path, ledger)
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    assert (tmp_path / "map.png").read_bytes() == b"picture"


def test_folder_outlasts_a_power_cut(tmp_path: Path, ledger: Ledger) -> None:
    """So are all files in a folder, and in the folders within."""
    with new_folder(tmp_path / "images") as folder:
        (folder / "cat").mkdir()
        (folder / "cat" / "1.png").write_bytes(b"picture")
        (folder / "metadata.csv").write_bytes(b"words")
    cut_power(tmp_path, ledger)
    files = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"1.png": b"picture", "metadata.csv": b"words"}
    assert (tmp_path / "images" / "cat" / "1.png").is_file()
