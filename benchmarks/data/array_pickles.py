"""Pickles that hold arrays and nothing else."""

import io
import pickle
from typing import Any

import numpy as np

from echo_stream.errors import SourceError

_RECONSTRUCT = np.zeros(0).__reduce__()[0]
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    # The module as old and new versions of numpy write it.
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Makes arrays, and refuses to look up anything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what an array is made by."""
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        msg = f"a pickle asks for {module}.{name}; only arrays are read"
        raise SourceError(msg)


def read_arrays(content: bytes) -> Any:
    """Return what a pickle holds: arrays, numbers and text in lists and dicts.

    Those of Python 2 too, whose byte strings become text.

    Raises
    ------
    SourceError
        If it asks for anything else, which a pickle could use to run code.

    Examples
    --------
    >>> read_arrays(pickle.dumps({"data": np.arange(3)}))
    {'data': array([0, 1, 2])}
    >>> read_arrays(pickle.dumps(print))
    Traceback (most recent call last):
    ...
    echo_stream.errors.SourceError: a pickle asks for builtins.print; only arrays are read
    """
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
