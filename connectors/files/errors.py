"""Errors that name the data file they come from, in one line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echo_stream.errors import DataError, EchoStreamError, SourceError, first_line


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Turn every failure to read into an error that begins with the file's name, once.

    Code that opens or reads a file adds its name here, and nowhere else; a name that an error
    begins with already is not added again.

    Examples
    --------
    >>> with naming("data.npz"), naming("data.npz"), naming("part"):
    ...     raise ValueError("bad magic")
    Traceback (most recent call last):
    echo_stream.errors.DataError: data.npz: part: damaged, or not what its suffix says \
(bad magic); write it again
    """
    try:
        yield
    except EchoStreamError as err:
        if not str(err).startswith(f"{path}: "):
            err.parts = (f"{path}: ", *err.parts)
        raise
    except FileNotFoundError as err:
        msg = f"{path}: no such file"
        raise SourceError(msg) from err
    except PermissionError as err:
        msg = f"{path}: may not be read; change its permissions"
        raise SourceError(msg) from err
    except MemoryError as err:
        msg = (
            f"{path}: does not fit into memory ({first_line(err)}); save x as .npy, which is mapped"
        )
        raise DataError(msg) from err
    # numpy, zipfile, zlib, Arrow and Pillow raise a dozen unrelated classes, SyntaxError and
    # NotImplementedError among them, when the bytes of a file are not what they claim.
    except Exception as err:
        if isinstance(err, OSError) and err.errno == errno.ENOSPC:
            msg = f"{path}: no space left for a temporary copy; free some, or set TMPDIR"
            raise SourceError(msg) from err
        if isinstance(err, OSError) and err.errno == errno.ELOOP:
            msg = f"{path}: a link that leads back to itself; remove it"
            raise SourceError(msg) from err
        msg = f"{path}: damaged, or not what its suffix says ({first_line(err)}); write it again"
        raise DataError(msg) from err


def check_not_empty(num_samples: int) -> None:
    """Raise DataError where a data set has no samples."""
    if num_samples < 1:
        msg = "x holds no samples; give a file with at least one"
        raise DataError(msg)
