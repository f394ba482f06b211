"""Disks that are small, full or closed."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a file system in memory, of a size; skip where that is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"may not mount here, and files that do not fit are tried: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def resize(folder: Path, options: str) -> None:
    """Change a file system that is mounted."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[Callable[[], None]]:
    """Have a file take all the space there is, within the block; yields what takes it again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:

        def fill() -> None:
            with pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(4_096))

        fill()
        try:
            yield fill
        finally:
            filler.unlink()


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Let no file grow beyond size bytes: writing more fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
