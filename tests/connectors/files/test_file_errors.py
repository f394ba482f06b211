"""Failures to read: which are the data's, which the source's, and that all name the file."""

import errno

import pytest

from echo_stream.connectors.files.errors import naming
from echo_stream.errors import DataError, EchoStreamError, ShapeError, SourceError


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (ShapeError("x has one axis"), ShapeError, "x has one axis"),
        (SourceError("gone"), SourceError, "gone"),
        (FileNotFoundError(errno.ENOENT, "No such file"), SourceError, "no such file"),
        (PermissionError(errno.EACCES, "denied"), SourceError, "may not be read"),
        (OSError(errno.ENOSPC, "No space left"), SourceError, "no space left for a temporary copy"),
        (OSError("image file is truncated"), DataError, r"damaged, .* \(image file is truncated\)"),
        (MemoryError("8 TiB"), DataError, r"does not fit into memory \(8 TiB\)"),
        (SyntaxError("two\nlines"), DataError, r"damaged, .* \(two\); write it again$"),
        (KeyError(), DataError, r"damaged, .* \(KeyError\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_failure_names_the_file(
    error: Exception, expected: type[EchoStreamError], words: str
) -> None:
    """Our own errors go on; what libraries raise becomes one of ours."""
    with pytest.raises(expected, match=f"^data.npz: {words}") as caught, naming("data.npz"):
        raise error
    assert type(caught.value) is expected
    assert error in (caught.value, caught.value.__cause__)


def test_an_interrupt_is_no_failure_to_read() -> None:
    """Who stops a run is not told that the file is damaged."""
    with pytest.raises(KeyboardInterrupt), naming("data.npz"):
        raise KeyboardInterrupt
