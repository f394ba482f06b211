"""A codec of native code that dies of some messages."""

import ctypes
import os
import sys
import time
from typing import Any

import numpy as np

from echo_stream.connectors.codecs import Sample

SEGFAULT, ABORT, END, HANG, HUNGRY = b"segfault", b"abort", b"end", b"hang", b"hungry"


class DeadlyCodec:
    """Reads float32, and dies of what says so."""

    def decode(self, value: bytes, _headers: Any, key: bytes | None) -> list[Sample]:
        """Return one sample."""
        if value == SEGFAULT:
            ctypes.string_at(0)
        if value == ABORT:
            os.abort()
        if value == END:
            sys.exit(3)
        while value == HANG:
            time.sleep(1)
        if value == HUNGRY:
            taken = []
            while True:
                taken.append(np.ones(2**22))
        return [Sample(np.frombuffer(value, np.float32), None if key is None else key.decode())]


class DelayedCodec:
    """Dies of the message after one that has done harm."""

    def __init__(self) -> None:
        self._is_harmed = False

    def decode(self, value: bytes, _headers: Any, _key: bytes | None) -> list[Sample]:
        """Return one sample."""
        print("not an answer")  # noqa: T201 - as a library may
        if self._is_harmed:
            os.abort()
        self._is_harmed = value == b"harm"
        return [Sample([1.0])]


class BrokenCodec:
    """Cannot be made where the parent says so."""

    def __init__(self) -> None:
        if "ECHO_TEST_BROKEN_CODEC" in os.environ:
            msg = "no schema"
            raise OSError(msg)

    def decode(self, *_: Any) -> list[Sample]:
        """Return one sample."""
        return [Sample([1.0])]
