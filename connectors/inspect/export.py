"""Snapshots in formats that other programs read."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from echo_stream._common.typing import Array, Label
from echo_stream.connectors.inspect.images import as_png
from echo_stream.connectors.storage.destinations import new_file, new_folder
from echo_stream.connectors.storage.snapshot_files import coreset_table
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import ConfigError
from echo_stream.samples.validation import SampleSchema


def export_snapshot(
    snapshot: Snapshot, destination: Path, *, image_shape: Sequence[int] | None = None
) -> Path:
    """Write the rows of a snapshot: .npz, .parquet, or without a suffix a folder of images.

    Raises
    ------
    ConfigError
        If destination exists, or has another suffix; or samples have no such shape.
    DataError
        If samples that are to be images are none.
    """
    if destination.suffix == ".npz":
        return export_npz(snapshot, destination)
    if destination.suffix == ".parquet":
        return _export_parquet(snapshot, destination)
    if not destination.suffix:
        return _export_images(snapshot, destination, image_shape=image_shape)
    msg = f"{destination} is not a .npz or .parquet file and, with a suffix, not a folder of images"
    raise ConfigError(msg)


def export_npz(snapshot: Snapshot, destination: Path) -> Path:
    """Write x, y, id, role and weight of a snapshot's rows as a compressed .npz, and their texts.

    `read_file` reads it back, so a coreset is a data set. y is left out where no label
    is known; where only some are, y_known says which.

    Raises
    ------
    ConfigError
        If destination exists or is not a .npz, or payloads are bytes.
    """
    rows = snapshot.rows
    columns: dict[str, Array] = {
        "x": rows.samples.x,
        "id": np.array(rows.samples.ids.tolist(), dtype=str),
        "role": np.array(rows.roles.tolist(), dtype=str),
        "weight": rows.weights,
    }
    labels = [] if rows.samples.labels is None else rows.samples.labels.tolist()
    known = [label for label in labels if label is not None]
    if known:
        filler = type(known[0])()
        columns["y"] = np.array([filler if label is None else label for label in labels])
    if 0 < len(known) < len(labels):
        columns["y_known"] = np.array([label is not None for label in labels])
    payloads = rows.samples.payloads
    if payloads is not None:
        if any(isinstance(payload, bytes) for payload in payloads):
            msg = f"{destination.name} cannot hold payloads that are bytes; export to a .parquet"
            raise ConfigError(msg)
        columns["payload"] = np.array([payload or "" for payload in payloads], dtype=str)
    with new_file(destination, ".npz") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)
    return destination


def _export_parquet(snapshot: Snapshot, destination: Path) -> Path:
    """Write the rows of a snapshot as a .parquet: x in lists as deep as a sample has axes.

    The other columns are those of `coreset.parquet`. `read_file` reads it back, and so do
    Hugging Face datasets, pandas, Polars and Spark.

    Raises
    ------
    ConfigError
        If destination exists or is not a .parquet.
    """
    schema = SampleSchema.from_json(snapshot.manifest["schema"])
    table = coreset_table(snapshot.rows, schema).replace_schema_metadata(None)
    place = table.column_names.index("x")
    table = table.set_column(place, "x", _nested(snapshot.rows.samples.x))
    with new_file(destination, ".parquet") as file:
        pq.write_table(table, file, compression="zstd")
    return destination


def _nested(x: Array) -> pa.Array:
    """Return samples of shape (n, ...) as lists of fixed lengths, one level an axis."""
    column = pa.array(np.ascontiguousarray(x).reshape(-1))
    for length in reversed(x.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, length)
    return column


_UNKNOWN = "_unknown"  # folder of images without a label; no label's own, whose _ is escaped
_MAX_NAME_CHARACTERS = 100  # of an escaped label or id; longer ones end in a digest
_COLUMNS = ("file_name", "id", "role", "weight", "certified", "label")


def _export_images(
    snapshot: Snapshot, destination: Path, *, image_shape: Sequence[int] | None = None
) -> Path:
    """Write each sample of a snapshot as destination/CLASS/RANK-ID.png.

    Parameters
    ----------
    snapshot : Snapshot
    destination : Path
        A folder that does not exist.
    image_shape : sequence of int, optional
        Where samples are vectors; see `as_png`.

    Raises
    ------
    ConfigError
        If destination exists or cannot be written, or the shape is wrong.
    DataError
        If the samples are not images.

    Notes
    -----
    No label or id leads out of destination: what is not a plain letter, digit, - or . is escaped
    as in an address (%2F), as are . and _ at the beginning. metadata.csv has them as they are,
    with role and weight; a sample that is core and support is one image and two lines.
    """
    samples, rows = snapshot.rows.samples, snapshot.rows
    labels = [None] * len(rows) if samples.labels is None else samples.labels.tolist()
    written: dict[tuple[str, bytes], str] = {}
    with (
        new_folder(destination) as folder,
        (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file,
    ):
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(_COLUMNS)
        for place, (name, label) in enumerate(zip(samples.ids.tolist(), labels, strict=True)):
            content = as_png(samples.x[place], image_shape)
            key = (str(name), _digest(content))
            if key not in written:
                written[key] = f"{_class(label)}/{place:06d}-{_safe(str(name))}.png"
                path = folder / written[key]
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            proof = rows.certified[place]
            more = [rows.roles[place], rows.weights[place], proof, label]
            lines.writerow([written[key], name, *more])
    return destination


def _class(label: Label) -> str:
    """Return the name of the folder of a class."""
    return _UNKNOWN if label is None else _safe(str(label)) or "%"


def _safe(name: str) -> str:
    """Return text as a file name: no separator, nothing hidden, of bounded length.

    Examples
    --------
    >>> _safe("cat"), _safe("../a b"), _safe("_x")
    ('cat', '%2E.%2Fa%20b', '%5Fx')
    """
    escaped = quote(name, safe="").replace("~", "%7E")
    if escaped[:1] in (".", "_"):
        escaped = f"%{ord(escaped[0]):02X}{escaped[1:]}"
    if len(escaped) <= _MAX_NAME_CHARACTERS:
        return escaped
    # Two long names of the same beginning must stay two.
    return f"{escaped[:_MAX_NAME_CHARACTERS]}-{_digest(name.encode()).hex()}"


def _digest(content: bytes) -> bytes:
    """Return 64 bits that tell contents apart."""
    return hashlib.blake2b(content, digest_size=8).digest()
