"""Arrays out of bytes: what raw, `.npy` and JSON may look like, and what is refused."""

import io
from typing import Any

import numpy as np
import pytest

from echo_stream.connectors.codecs.readers import arrays as raw
from echo_stream.connectors.codecs.readers.arrays import read_npy
from echo_stream.connectors.codecs.readers.json import array_of, read_fields
from echo_stream.connectors.files.layouts import raw_layout
from echo_stream.errors import DataError, ShapeError

MANY = 1_000  # elements, more than any test has


def read_raw(
    value: bytes, dtype: bytes | str, shape: bytes | tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """Return the array that raw bytes stand for."""
    return raw.read_raw(value, raw_layout(dtype, shape), MANY)


def npy_bytes(x: Any, version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an array as a `.npy` file of a version."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(x), version=version)
    return buffer.getvalue()


def npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a `.npy` file."""
    buffer = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


def json_array(x: str, dtype: str = "float32") -> np.ndarray[Any, Any]:
    """Return the array that JSON text stands for."""
    return array_of(read_fields(b'{"x": ' + x.encode() + b"}", MANY)["x"], dtype, MANY)


@pytest.mark.parametrize("dtype", [b"float32", b"f4", b"<f4", "float32"])
@pytest.mark.parametrize("shape", [b"2,3", b"2, 3", b"(2, 3)", (2, 3)])
def test_raw_layout_is_understood(dtype: bytes | str, shape: bytes | tuple[int, ...]) -> None:
    """As people and numpy write it, in headers and in a configuration."""
    x = np.arange(6, dtype="<f4").reshape(2, 3)
    np.testing.assert_array_equal(read_raw(x.tobytes(), dtype, shape), x)


def test_big_endian_becomes_native() -> None:
    """Numbers keep their value, dtypes are those of this machine."""
    x = np.array([1.5, -2.0], ">f4")
    for decoded in (read_raw(x.tobytes(), b">f4", b"2"), read_npy(npy_bytes(x), MANY)):
        assert decoded.dtype.isnative
        assert decoded.tolist() == [1.5, -2.0]


def test_booleans_of_any_byte_are_booleans() -> None:
    """A byte other than 0 and 1 is true, not a bool that adds up to 255."""
    x = read_raw(b"\x00\x01\xff", b"bool", b"3")
    assert x.view(np.uint8).tolist() == [0, 1, 1]


@pytest.mark.parametrize("size", [0, 7, 9])
def test_raw_needs_the_exact_length(size: int) -> None:
    """Neither a byte less nor one more."""
    words = rf"x of shape \(2, 4\) and dtype uint8 has 8 bytes; got {size}"
    with pytest.raises(ShapeError, match=words):
        read_raw(b"\0" * size, "uint8", (2, 4))


@pytest.mark.parametrize("dtype", [b"O", b"object", b"c8", b"S4", b"f16", b"f4,f4", b"", b"\xff"])
def test_raw_dtype_must_be_numeric(dtype: bytes) -> None:
    """Only numbers of up to 64 bits can be samples."""
    with pytest.raises(ShapeError, match="is not supported; use one such as float32"):
        read_raw(b"\0" * 8, dtype, b"1")


@pytest.mark.parametrize(
    "shape",
    [b"-1", b"2x4", b"1e3", b"\xb2", b",", b"9" * 5_000, b" " * 100_000 + b"8"],
)
def test_raw_shape_must_be_valid(shape: bytes) -> None:
    """Decimal numbers and commas, of a sensible length."""
    with pytest.raises(DataError, match="write it like 28,28") as caught:
        read_raw(b"\0" * 8, b"u1", shape)
    assert not isinstance(caught.value, ShapeError)


@pytest.mark.parametrize("shape", [b"()", b"", b"0", b"8,0", b"1," * 40])
def test_raw_shape_must_have_axes_and_elements(shape: bytes) -> None:
    """Scalars, empty arrays and arrays of too many axes are no samples."""
    with pytest.raises(ShapeError, match="use 1 to 32 axes, none of them empty"):
        read_raw(b"\0" * 8, b"u1", shape)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.filterwarnings("ignore:Stored array in format:UserWarning")
def test_npy_versions_and_orders(version: tuple[int, int], order: Any) -> None:
    """All versions of the format, and both orders of elements."""
    x = np.asarray(np.arange(24, dtype=np.int16).reshape(2, 3, 4), order=order)
    np.testing.assert_array_equal(read_npy(npy_bytes(x, version), MANY), x)


def test_npy_is_not_copied() -> None:
    """Reading hands out a view of the message."""
    value = npy_bytes(np.ones(6, np.float32))
    assert np.shares_memory(read_npy(value, MANY), np.frombuffer(value, np.uint8))


def test_npy_of_other_writers() -> None:
    """Spaces, order of the fields, quotes and Python 2's long integers do not matter."""
    header = b"""{"shape":( 2L,3 ) , "descr":"|u1" ,'fortran_order' : False}\n"""
    value = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 6
    assert read_npy(value, MANY).shape == (2, 3)


def test_npy_must_be_whole() -> None:
    """Cut anywhere, or with anything behind it, a value is refused as invalid."""
    value = npy_bytes(np.ones((2, 3), np.float32))
    for content in [*(value[:size] for size in range(len(value))), value + b"\0"]:
        with pytest.raises(DataError) as caught:
            read_npy(content, MANY)
        assert not isinstance(caught.value, ShapeError)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (npy_bytes(np.float32(1)), ShapeError),
        (npy_bytes(np.zeros((2, 0))), ShapeError),
        (npy_bytes([1j]), ShapeError),
        (npy_bytes(["text"]), ShapeError),
        (npy_header("|O", (1,)) + b"\x80\x04K\x01.", ShapeError),
        (npy_bytes(np.zeros(2, "f4,f4")), DataError),
        (b"\x93NUMPY\x04\x00" + b"\0" * 100, DataError),
        (b"\x93NUMPY\x01\x00\xff\xff" + b" " * 70_000, DataError),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100, DataError),
        (b"\x93NUMPY\x01\x00\x05\x00import", DataError),
    ],
)
def test_npy_that_is_no_sample(value: bytes, error: type[Exception]) -> None:
    """Scalars, empty arrays, other dtypes, pickles and foreign headers are refused."""
    with pytest.raises(error):
        read_npy(value, MANY)


@pytest.mark.parametrize("shape", [(2**40, 2**20), (2**62,), (2**63, 2**63)])
def test_forged_npy_size_allocates_nothing(shape: tuple[int, ...]) -> None:
    """A header that claims exabytes is refused from the header."""
    with pytest.raises(DataError, match="damaged"):
        read_npy(npy_header("<f4", shape) + b"\0" * 64, MANY)


@pytest.mark.parametrize(
    "x",
    [
        "[[1, 2], [3]]",
        "[[1, 2], 3]",
        "[1, [2]]",
        "[]",
        "[[], []]",
        "1.5",
        '"AAAA"',
        "null",
        '{"dtype": "f4"}',
        "[1, true]",
        '[1, "2"]',
        "[1, null]",
        "[" * 40 + "1" + "]" * 40,
    ],
)
def test_json_x_must_be_lists_of_numbers(x: str) -> None:
    """Neither ragged, nor empty, nor of too many axes, nor of anything but numbers."""
    with pytest.raises(ShapeError):
        json_array(x)


@pytest.mark.parametrize(
    "x", ["[" * 100_000 + "]" * 100_000, "[" * 100_000, "[" + "9" * 5_000 + "]", "[1,]", ""]
)
def test_json_must_be_valid(x: str) -> None:
    """Deep nesting and long integers end in an error like any other."""
    with pytest.raises(DataError, match="invalid JSON"):
        json_array(x)


@pytest.mark.parametrize("x", ["[NaN]", "[-Infinity]", "[1e39]", "[1e999]", f"[{10**400}]"])
def test_json_numbers_beyond_float32_are_not_finite(x: str) -> None:
    """They are left to the check of all values, without a warning."""
    assert not np.isfinite(json_array(x)).any()


@pytest.mark.parametrize("value", [b"[1, 2]", b"3"])
def test_json_must_be_an_object(value: bytes) -> None:
    """Other JSON is refused."""
    with pytest.raises(DataError, match="JSON is not an object with a field x"):
        read_fields(value, MANY)


def test_json_must_be_utf8() -> None:
    """UTF-16 is not guessed."""
    with pytest.raises(DataError, match="invalid JSON"):
        read_fields('{"x": [1]}'.encode("utf-16"), MANY)


def test_json_brings_all_fields() -> None:
    """Producers add fields of their own."""
    fields = read_fields(b'{"time": [1, null], "x": [1]}', MANY)
    assert fields == {"time": [1, None], "x": [1]}


@pytest.mark.parametrize(
    ("dtype", "x"), [("uint8", "[256]"), ("uint8", "[-1]"), ("int64", "[1.0]"), ("bool", "[2]")]
)
def test_json_numbers_must_fit_the_dtype(dtype: str, x: str) -> None:
    """Nothing is wrapped around or cut off."""
    with pytest.raises(ShapeError, match=f"x holds numbers that {dtype} cannot hold"):
        json_array(x, dtype)


def test_json_keeps_large_integers() -> None:
    """An integer dtype holds every integer of its range."""
    assert json_array(f"[{2**64 - 1}]", "uint64").tolist() == [2**64 - 1]
