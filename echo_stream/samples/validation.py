"""Checks on samples, shared by the Python API, files and messages.

Samples that pass are safe to use everywhere: x has a numeric dtype in native
byte order and is finite as float32, ids and labels are integers or text that
can be written as UTF-8. All checks are pure; x is never copied unless its byte
order must change.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, Self

import numpy as np

from echo_stream._common.typing import Array, BoolArray
from echo_stream.config import TextLimits
from echo_stream.errors import DataError, DataTypeError, SettingName, ShapeError, first_line
from echo_stream.samples.payloads import payload_size
from echo_stream.samples.samples import Samples, as_objects

_INT64 = np.iinfo(np.int64)
_UINT64_MAX = int(np.iinfo(np.uint64).max)
_ID_TYPES = (int, np.integer, str)
_LABEL_TYPES = (NoneType, bool, np.bool_, int, np.integer, float, np.floating, str)
_MAX_ITEM_BYTES = 8  # of a number: float64 passes, longdouble does not
_UTF8_BYTES = 4  # of a character, at most
_SHOWN = 40  # characters of what is too long
_CHUNK = 1 << 16  # elements looked at together: 256 KiB of float32 stay in the cache


@dataclass(frozen=True, slots=True)
class SampleSchema:
    """Shape and dtype that every sample of a stream has.

    Attributes
    ----------
    shape : tuple of int
        Shape of one sample.
    dtype : str
        Name of the dtype, such as ``"float32"``.

    Examples
    --------
    >>> schema = SampleSchema.of(np.zeros((5, 28, 28), np.uint8))
    >>> schema
    SampleSchema(shape=(28, 28), dtype='uint8')
    >>> schema.check(np.zeros((2, 3), np.uint8))
    Traceback (most recent call last):
    echo_stream.errors.ShapeError: expected samples of shape (28, 28) and dtype uint8; \
got shape (3,) and dtype uint8
    """

    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, x: Array) -> Self:
        """Return the schema of x, an ndarray of shape (n, ...)."""
        return cls(shape=x.shape[1:], dtype=x.dtype.name)

    def check(self, x: Array) -> None:
        """Raise ShapeError unless x, an ndarray of shape (n, ...), has this schema."""
        self.check_schema(SampleSchema.of(x))

    def check_schema(self, given: "SampleSchema") -> None:
        """Raise ShapeError unless another schema is this one."""
        if given != self:
            msg = f"expected samples of {self._words()}; got {given._words()}"
            if len(self.shape) == len(given.shape) == 1 and self.shape != given.shape:
                # The words that scikit-learn's users and checks look for.
                msg += f" (X has {given.num_elements} features, but EchoCoreset is expecting "
                msg += f"{self.num_elements} features as input)"
            raise ShapeError(msg)

    @property
    def num_elements(self) -> int:
        """Return the number of values of one sample, D."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of one sample's payload."""
        return self.num_elements * np.dtype(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        """Return a description that `json.dumps` takes."""
        return {"shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        """Return the schema that `to_json` described."""
        return cls(shape=tuple(state["shape"]), dtype=state["dtype"])

    def _words(self) -> str:
        return f"shape {self.shape} and dtype {self.dtype}"


def as_samples(
    x: object,
    y: object = None,
    ids: object = None,
    payloads: Sequence[object] | None = None,
    *,
    first_row: int = 0,
    row_in_messages: int = 0,
) -> Samples:
    """Return checked samples from arrays, tensors or nested lists.

    Parameters
    ----------
    x : array-like or torch.Tensor of shape (n, ...)
        Boolean, integer or floating point up to 64 bits, or objects that are such numbers,
        which become float64. n may be 0.
    y : array-like of shape (n,), optional
        Labels: booleans, integers, floats, text, or objects that mix these with None.
    ids : array-like of shape (n,), optional
        Integers or text. By default the row number, counted from first_row.
    payloads : sequence of n str, bytes or None, optional
        What x was made of.
    first_row : int, default=0
        Number of the first row, when x is a part of something longer.
    row_in_messages : int, default=0
        Number of the first row in messages: 0 if the user passes x, first_row if x is part of a
        larger whole that the user knows.

    Returns
    -------
    Samples
        x is a view of the caller's memory where its type and byte order allow.

    Raises
    ------
    ShapeError
        Lengths differ, x has fewer than two axes, or y or ids more than one.
    DataTypeError
        A dtype that cannot be used.
    DataError
        A value that is not finite as float32.

    Examples
    --------
    >>> as_samples([[0.5, 1.0], [2.0, 3.0]], y=["cat", None]).ids
    array([0, 1])
    >>> as_samples([[0.5, 1.0], [2.0, float("nan")]])
    Traceback (most recent call last):
    echo_stream.errors.DataError: x has NaN in row 1; remove or impute non-finite values
    """
    values = _as_numbers(x)
    check_layout(values.shape, values.dtype)
    n = len(values)
    labels = None if y is None else _as_labels(y, n)
    names = np.arange(first_row, first_row + n, dtype=np.int64) if ids is None else _as_ids(ids, n)
    arrived = None if payloads is None else _as_payloads(payloads, n)
    check_finite(values, first_row=row_in_messages)
    return Samples(x=values, ids=names, labels=labels, payloads=arrived)


def check_layout(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise DataError unless an array x of this shape and dtype can hold samples."""
    if dtype.kind == "c":
        # The words that scikit-learn's users and checks look for.
        msg = f"Complex data not supported: x has dtype {dtype}; use real and imaginary part"
        raise DataTypeError(msg)
    if not _is_usable(dtype):
        msg = f"x has dtype {dtype}; use booleans, integers, or floats of at most 64 bits"
        raise DataTypeError(msg)
    if len(shape) < 2:
        # The words that scikit-learn's users and checks look for.
        msg = f"x has shape {shape}; it needs at least two axes, the first over samples. "
        msg += "Reshape your data: x[None] is one sample"
        raise ShapeError(msg)
    if 0 in shape[1:]:
        msg = (
            f"x has 0 feature(s) (shape={shape}) while a minimum of 1 is required; "
            "a sample needs at least one element"
        )
        raise ShapeError(msg)


def check_finite(x: Array, *, first_row: int = 0) -> None:
    """Raise DataError for the first row of x that is not finite as float32.

    Parameters
    ----------
    x : ndarray of shape (n, ...)
    first_row : int, default=0
        What the message calls the first row.

    Notes
    -----
    O(size of x), in chunks of rows: no temporary array grows with n.
    """
    if x.dtype.kind != "f":
        return
    for rows in _chunks(x):
        if not is_finite(x[rows]):
            _raise_nonfinite(x[rows], first_row + rows.start)


def is_finite(x: Array) -> bool:
    """Return whether every value of x is finite once it is a float32.

    Examples
    --------
    >>> is_finite(np.array([1e30])), is_finite(np.array([1e39]))
    (True, False)
    """
    if x.dtype.kind != "f":
        return True
    return bool(np.isfinite(_as_float32(x)).all())


def finite_rows(x: Array) -> BoolArray:
    """Return which rows of x, of shape (n, ...), are finite as float32; of shape (n,).

    O(size of x), in chunks of rows, as `check_finite`; only a chunk with a bad value is
    looked at row by row.

    Examples
    --------
    >>> finite_rows(np.array([[1.0], [np.inf], [1e39]])).tolist()
    [True, False, False]
    """
    good = np.ones(len(x), bool)
    if x.dtype.kind == "f":
        for rows in _chunks(x):
            if not is_finite(x[rows]):
                good[rows] = [is_finite(row) for row in x[rows]]
    return good


def _is_usable(dtype: np.dtype[Any]) -> bool:
    """Return whether samples may have this dtype: boolean, integer or float up to 64 bits."""
    return dtype.kind in "buif" and dtype.itemsize <= _MAX_ITEM_BYTES


def long_texts(values: Sequence[object], max_bytes: int) -> list[int]:
    """Return the places of text that has more bytes in UTF-8 than allowed; numbers pass.

    O(n), some twenty nanoseconds each.

    Examples
    --------
    >>> long_texts(["a", "aaaa", 12345, "\u00e4\u00e4"], 3)
    [1, 3]
    """
    texts = [value for value in values if isinstance(value, str)]
    if _UTF8_BYTES * max(map(len, texts), default=0) <= max_bytes:
        return []
    return [
        place
        for place, text in enumerate(values)
        if isinstance(text, str) and len(text.encode()) > max_bytes
    ]


def check_texts(
    name: str, values: Sequence[object], max_bytes: int, *, first_row: int | None = None
) -> None:
    """Raise DataError for the first text that has more bytes in UTF-8 than allowed.

    Parameters
    ----------
    name : str
        What messages call one of the values: id or label.
    values : sequence
        Numbers pass.
    max_bytes : int
    first_row : int, optional
        What the message calls the first value's row; None: it names none.

    Examples
    --------
    >>> check_texts("id", ["a" * 9], 8)
    Traceback (most recent call last):
    ...
    echo_stream.errors.DataError: the id 'aaaaaaaaa' has 9 bytes in UTF-8, and may have 8; \
shorten it, or raise max_text_bytes
    """
    for place in long_texts(values, max_bytes):
        text = str(values[place])
        shown = ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
        size = len(text.encode())
        row = "" if first_row is None else f" in row {first_row + place}"
        msg = (
            f"the {name} {shown}{row} has {size} bytes in UTF-8, and may have {max_bytes}; "
            "shorten it, or raise "
        )
        raise DataError(
            msg,
            SettingName("max_text_bytes"),
        )


def check_sizes(samples: Samples, limits: TextLimits, *, first_row: int | None = None) -> None:
    """Raise DataError for ids and labels of samples as `check_texts` does, and for payloads."""
    for name, column in (("id", samples.ids), ("label", samples.labels)):
        if column is not None and column.dtype.kind in "OU":
            check_texts(name, column.tolist(), limits.max_text_bytes, first_row=first_row)
    if samples.payloads is not None:
        check_payloads(samples.payloads, limits.max_payload_bytes, first_row=first_row)


def check_payloads(
    payloads: Sequence[object] | Array, max_bytes: int, *, first_row: int | None = None
) -> None:
    """Raise DataError for the first payload that has more bytes than allowed; see `check_texts`.

    Examples
    --------
    >>> check_payloads(["short", "a" * 9], 8, first_row=0)
    Traceback (most recent call last):
    ...
    echo_stream.errors.DataError: the payload in row 1 has 9 bytes, and may have 8; shorten it \
or raise max_payload_bytes
    """
    for place, payload in enumerate(payloads):
        if (size := payload_size(payload)) > max_bytes:
            row = "" if first_row is None else f" in row {first_row + place}"
            msg = (
                f"the payload{row} has {size} bytes, and may have {max_bytes}; shorten it or raise "
            )
            raise DataError(msg, SettingName("max_payload_bytes"))


def _chunks(x: Array) -> Iterator[slice]:
    """Yield rows of x that stay in the cache, all of them in the end."""
    step = max(1, _CHUNK // max(1, x[:1].size))
    return (slice(start, start + step) for start in range(0, len(x), step))


def _as_array(values: Any, name: str) -> Array:
    """Return the values as an array in native byte order, without a copy where possible."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        msg = f"{name} has masked values; fill or remove them"
        raise DataError(msg)
    try:
        # A torch tensor, recognised without importing torch.
        host = values.detach().cpu().numpy() if hasattr(values, "detach") else values
        array = np.asarray(host)
    except (TypeError, ValueError, RuntimeError) as err:
        msg = f"{name} cannot be read as an array ({first_line(err)}); pass a numeric array"
        raise DataError(msg) from err
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _as_numbers(x: Any) -> Array:
    """Return x as an array; objects that are all numbers become float64."""
    if hasattr(x, "tocsr"):
        msg = f"x is sparse ({type(x).__name__}); pass a dense array, such as x.toarray()"
        raise DataTypeError(msg)
    values = _as_array(x, "x")
    if values.dtype != object or any(isinstance(value, (str, bytes)) for value in values.flat):
        return values
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        msg = f"x has dtype object and holds no number ({first_line(err)}); pass a numeric array"
        raise DataTypeError(msg) from err


def _as_labels(y: object, n: int) -> Array:
    """Return y as an ndarray of shape (n,): numbers, text, or objects."""
    labels = _as_column(y, "y", n)
    if not _is_usable(labels.dtype) and labels.dtype.kind not in "UO":
        msg = f"y has dtype {labels.dtype}; use integers, floats or text"
        raise DataError(msg)
    if labels.dtype.kind in "UO":
        _check_objects(labels, "y", _LABEL_TYPES)
    if labels.dtype.kind in "uO":
        _check_range(labels, "y holds", int(_INT64.max))
    if labels.dtype.kind in "fO":
        _check_no_infinity(labels)
    return labels


def _as_ids(ids: object, n: int) -> Array:
    """Return ids as an ndarray of shape (n,): int64, or object with int and str."""
    column = _as_column(ids, "ids", n)
    if column.dtype.kind not in "iuUO":
        msg = f"ids have dtype {column.dtype}; use integers or text"
        raise DataError(msg)
    if column.dtype.kind in "iu" and (n == 0 or column.max() <= _INT64.max):
        return column.astype(np.int64)
    _check_objects(column, "ids", _ID_TYPES)
    _check_range(column, "ids hold", _UINT64_MAX)
    plain = [str(name) if isinstance(name, str) else int(name) for name in column.tolist()]
    return np.array(plain, dtype=object)


def _as_payloads(payloads: Sequence[object], n: int) -> Array:
    """Return payloads as an ndarray of shape (n,), object."""
    column = as_objects(list(payloads))
    if len(column) != n:
        msg = f"there are {len(column)} payloads for {n} samples; pass one for each"
        raise ShapeError(msg)
    _check_objects(column, "payloads", (NoneType, str, bytes))
    return column


def _as_column(values: Any, name: str, n: int) -> Array:
    """Return the values as an ndarray of shape (n,)."""
    column = _as_array(values, name)
    if column.ndim != 1:
        msg = f"{name} has shape {column.shape}; pass one value for each of the {n} samples"
        raise ShapeError(msg)
    if len(column) != n:
        msg = f"{name} has {len(column)} values for {n} samples; pass one for each"
        raise ShapeError(msg)
    # Of a list such as ["cat", 3] or [2**64 - 1, 0] numpy makes text or floats; values stay.
    is_converted = column.dtype.kind in "Uf" and not hasattr(values, "dtype")
    return np.asarray(values, dtype=object) if is_converted or column.dtype.kind == "T" else column


def _check_objects(column: Array, name: str, allowed: tuple[type, ...]) -> None:
    """Refuse elements of other types, and text that UTF-8 cannot hold."""
    # SystemError is what numpy raises for a code point that no str has.
    try:
        elements = column.tolist()
        "".join(element for element in elements if isinstance(element, str)).encode()
    except (ValueError, SystemError) as err:
        msg = f"{name} holds text that is not valid Unicode ({first_line(err)}); correct it"
        raise DataError(msg) from err
    for kind in {type(element) for element in elements}:
        if not issubclass(kind, allowed) or (kind is bool and bool not in allowed):
            names = ", ".join(dict.fromkeys(t.__name__ for t in allowed if t.__module__ != "numpy"))
            msg = f"{name} holds a value of type {kind.__name__}; use {names}"
            raise DataError(msg)


def _check_range(column: Array, what: str, largest: int) -> None:
    """Refuse integers below an int64 or above the largest allowed."""
    integers = [int(value) for value in column.tolist() if isinstance(value, (int, np.integer))]
    for value in (min(integers, default=0), max(integers, default=0)):
        if not _INT64.min <= value <= largest:
            # Python prints no integers of thousands of digits.
            shown = str(value) if abs(value) < 2**128 else "an integer"
            msg = f"{what} {shown}, which does not fit in 64 bits; use text instead"
            raise DataError(msg)


def _check_no_infinity(labels: Array) -> None:
    """Refuse infinite labels: JSON cannot store them."""
    floats = (label for label in labels.tolist() if isinstance(label, float))
    if any(math.isinf(label) for label in floats):
        msg = "y holds an infinite label; use finite numbers, text or None"
        raise DataError(msg)


def _as_float32(x: Array) -> Array:
    """Return floats as float32, without a warning for what is too large or a signalling NaN."""
    if x.dtype.itemsize <= 4:
        return x
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(np.float32)


def _raise_nonfinite(rows: Array, start: int) -> None:
    """Name the first row that is not finite, and its first such value."""
    flat = rows.reshape(len(rows), -1)
    row, column = np.argwhere(~np.isfinite(_as_float32(flat)))[0]
    value = float(flat[row, column])
    if np.isfinite(value):
        msg = f"x has {value:g} in row {start + row}, more than a float32 can hold; rescale it"
        raise DataError(msg)
    word = "NaN" if np.isnan(value) else "inf"
    msg = f"x has {word} in row {start + row}; remove or impute non-finite values"
    raise DataError(msg)
