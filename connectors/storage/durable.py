"""What outlasts a power cut."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Make a file or folder durable: what has been written, or which names it has.

    A new file is there for sure once it and its folder are flushed.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
