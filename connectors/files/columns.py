"""Which columns of a table are samples, labels and ids, and those as arrays."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from echo_stream._common.typing import Array
from echo_stream.connectors.files.inputs import LABELS, Inputs, label_among, table_inputs
from echo_stream.connectors.files.layouts import Layout, as_rows, raw_layout
from echo_stream.errors import DataError, ShapeError
from echo_stream.samples.samples import as_objects


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Which columns of a table are what, where they have other names than usual.

    Attributes
    ----------
    vector : str
        What is measured: lists of numbers, or binary. Where there is no such column, each one
        of numbers is a feature.
    payload : str or None
        What is kept beside it, text or bytes.
    label, id : str or None
        None: label or y, and id, if there are such.
    """

    vector: str = "x"
    payload: str | None = None
    label: str | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """What is read of a file, and how.

    Attributes
    ----------
    x : tuple of (str, pyarrow.DataType)
        The column of vectors, or else the features, one number each.
    is_table : bool
        Whether x stands for features.
    payload : str or None
    layout : Layout or None
        Of one sample, where x is binary.
    label, id : str or None
    ignored : dict of str to str
        Columns that are not read, and their types.
    """

    x: tuple[tuple[str, pa.DataType], ...]
    is_table: bool
    layout: Layout | None
    label: str | None
    id: str | None
    payload: str | None = None
    ignored: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def all(self) -> list[str]:
        """Return the names of all columns that are read."""
        beside = (self.label, self.id, self.payload)
        return [name for name, _ in self.x] + [name for name in beside if name is not None]

    @property
    def inputs(self) -> Inputs:
        """Return what is taken, and what is left out."""
        names = tuple(name for name, _ in self.x)
        if self.is_table:
            return table_inputs(names, self.label, self.id, self.ignored)
        label, id = (None if name is None else f"column {name}" for name in (self.label, self.id))
        vector = f"column {names[0]}" if names else "nothing"
        words = vector if self.payload is None else f"{vector} (payload: column {self.payload})"
        return Inputs(words, label, id, ignored=self.ignored)

    def words(self) -> str:
        """Return what a message calls these columns."""
        parts = [f"{name} ({kind})" for name, kind in self.x[:10]]
        parts += [f"{len(self.x) - 10} more"] if len(self.x) > 10 else []
        return ", ".join(parts + self.all[len(self.x) :])


def find_columns(schema: pa.Schema, names: ColumnNames) -> Columns:
    """Return the columns to read.

    Parameters
    ----------
    schema : pyarrow.Schema
        With a column of vectors: lists of numbers, nested for more axes, or binary with
        ``x_dtype`` and ``x_shape`` in the metadata, as a snapshot has it. Without: each column
        of numbers is a feature, in the order of the file, but for label, id and pandas' index.
    names : ColumnNames

    Raises
    ------
    DataError
        There is neither, a column that was named is not there, vectors are of another type,
        or a name or the label occurs twice.
    """
    label, sample_id = _label_and_id(schema, names)
    is_table = names.vector not in schema.names
    others = {label, sample_id, names.payload}
    features = [n for n in _feature_names(schema) if n not in others]
    features = features if is_table else [names.vector]
    if not features:
        msg = (
            f"no column {names.vector} and no columns of numbers; it has "
            f"{', '.join(schema.names) or 'none'}"
        )
        raise DataError(msg)
    for name in {*features, *others} - {None}:
        if len(schema.get_all_field_indices(name)) > 1:
            msg = f"has several columns {name}; rename all but one"
            raise DataError(msg)
    x = tuple((name, schema.field(name).type) for name in features)
    layout = None if is_table else _check_x(*x[0], schema.metadata or {})
    ignored = {f.name: str(f.type) for f in schema if f.name not in {*features, *others}}
    return Columns(x, is_table, layout, label, sample_id, names.payload, ignored)


def find_encoded(schema: pa.Schema, names: ColumnNames) -> Columns:
    """Return the columns to read where an encoder makes vectors of the payload.

    Raises
    ------
    DataError
        A column that was named is not there, or the label occurs twice.
    """
    label, sample_id = _label_and_id(schema, names)
    own = {label, sample_id, names.payload}
    ignored = {f.name: str(f.type) for f in schema if f.name not in own}
    return Columns((), False, None, label, sample_id, names.payload, ignored)


def _label_and_id(schema: pa.Schema, names: ColumnNames) -> tuple[str | None, str | None]:
    """Return the columns of labels and ids, and refuse names that are not there."""
    for name in (names.payload, names.label, names.id):
        if name is not None and name not in schema.names:
            msg = f"has no column {name!r}; it has {', '.join(schema.names) or 'none'}"
            raise DataError(msg)
    label = names.label or label_among(schema.names, "columns")
    return label, names.id or ("id" if "id" in schema.names else None)


def x_of(batch: pa.RecordBatch, columns: Columns, row: int, shape: tuple[int, ...] | None) -> Array:
    """Return x of a batch.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
    columns : Columns
    row : int
        Number of its first row, for messages.
    shape : tuple of int or None
        Of a sample; None: that of the first one here.

    Returns
    -------
    ndarray of shape (n, ...)

    Raises
    ------
    DataError, ShapeError
        A value is missing, or a sample of another shape; the message names row and column.
    """
    if columns.is_table:
        dtype = np.result_type(*(kind.to_pandas_dtype() for _, kind in columns.x))
        x = np.empty((len(batch), len(columns.x)), dtype)
        for place, (name, _) in enumerate(columns.x):
            _refuse_nulls(batch.column(name), name, row)
            x[:, place] = _to_numpy(batch.column(name))
        return x
    vector = columns.x[0][0]
    column = batch.column(vector)
    _refuse_nulls(column, vector, row)
    if columns.layout is not None:
        return _unpack(column, vector, columns.layout, row)
    if isinstance(column.type, pa.FixedShapeTensorType):
        _refuse_nulls(
            column.storage.flatten(), vector, row, per_row=column.type.storage_type.list_size
        )
        tensors: Array = column.to_numpy_ndarray()
        return tensors
    return _unnest(column, vector, row, shape)


def labels_of(column: pa.Array) -> Array:
    """Return labels as an ndarray of shape (n,); None where one is missing."""
    if _is_number(column.type) and column.null_count == 0:
        return _to_numpy(column)
    return as_objects(column.to_pylist())


def ids_of(column: pa.Array, name: str, row: int) -> Array:
    """Return ids as an ndarray of shape (n,).

    Raises
    ------
    DataError
        One is missing.
    """
    _refuse_nulls(column, name, row)
    return labels_of(column)


def payloads_of(column: pa.Array, name: str, row: int) -> list[str | bytes]:
    """Return payloads; the first row has the given number.

    Raises
    ------
    DataError
        One is missing, or neither text nor bytes.
    """
    payloads: list[str | bytes] = column.to_pylist()
    for place, payload in enumerate(payloads):
        if not isinstance(payload, (str, bytes)):
            kind = "null" if payload is None else f"of type {type(payload).__name__}"
            msg = f"the payload in column {name}, row {row + place} is {kind}; use text or bytes"
            raise DataError(msg)
    return payloads


def _feature_names(schema: pa.Schema) -> list[str]:
    """Return the columns of numbers that are not a label, an id or an index of pandas."""
    # A RangeIndex is described by a dict, and no column.
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    others = {*LABELS, "id", *(name for name in index if isinstance(name, str))}
    return [f.name for f in schema if f.name not in others and _is_number(f.type)]


def _check_x(name: str, kind: pa.DataType, metadata: dict[bytes, bytes]) -> Layout | None:
    """Return the layout of vectors that are binary; refuse types that no vector has."""
    if isinstance(kind, pa.FixedShapeTensorType):
        kind = kind.storage_type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        if not {b"x_dtype", b"x_shape"} <= metadata.keys():
            msg = (
                f"column {name} is binary; give x_dtype and x_shape in the file's metadata, or "
                "lists"
            )
            raise DataError(msg)
        return raw_layout(metadata[b"x_dtype"], metadata[b"x_shape"])
    element = kind
    while _is_list(element):
        element = element.value_type
    if element is kind or not _is_number(element):
        msg = (
            f"column {name} is of type {kind}; give lists of numbers, or a column for each feature"
        )
        raise DataError(msg)
    return None


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _unpack(column: pa.Array, name: str, layout: Layout, row: int) -> Array:
    """Return samples stored as bytes."""
    sizes = _to_numpy(pc.binary_length(column))
    if (sizes != layout.size).any():
        bad = int(np.argmax(sizes != layout.size))
        msg = (
            f"column {name} has {sizes[bad]} bytes in row {row + bad}; "
            f"{layout.words()} has {layout.size}"
        )
        raise ShapeError(msg)
    return as_rows(b"".join(column.to_pylist()), layout, len(column))


def _unnest(column: pa.Array, name: str, row: int, shape: tuple[int, ...] | None) -> Array:
    """Return lists, or lists of lists, as an array, one level at a time."""
    axes: list[int] = []
    per_row = 1
    while _is_list(column.type):
        lengths = _to_numpy(pc.list_value_length(column))
        expected = int(lengths[0]) if shape is None else shape[len(axes)]
        if (lengths != expected).any():
            bad = int(np.argmax(lengths != expected))
            msg = (
                f"column {name} has a list of {lengths[bad]} in row {row + bad // per_row}, "
                f"where others have {expected}; make all lists of one level as long"
            )
            raise ShapeError(msg)
        if expected == 0:
            msg = (
                f"column {name} has an empty list in row {row}; a sample needs at least one element"
            )
            raise ShapeError(msg)
        axes.append(expected)
        per_row *= expected
        column = column.flatten()
        _refuse_nulls(column, name, row, per_row=per_row)
    return _to_numpy(column).reshape(-1, *axes)


def _to_numpy(column: pa.Array) -> Array:
    """Return a column of numbers; a view where Arrow's layout is numpy's."""
    array: Array = column.to_numpy(zero_copy_only=False)
    return array


def _refuse_nulls(column: pa.Array, name: str, row: int, *, per_row: int = 1) -> None:
    """Name the row of the first null, where each row has per_row values."""
    if column.null_count:
        place = int(np.argmax(_to_numpy(column.is_null())))
        msg = f"column {name} has a null in row {row + place // per_row}; fill or remove it"
        raise DataError(msg)
