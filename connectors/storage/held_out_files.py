"""The held-out samples of a snapshot as Parquet, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from echo_stream.connectors.storage.arrow_columns import (
    label_column,
    payload_column,
    payloads,
    with_schema,
)
from echo_stream.connectors.storage.units import FileWriter
from echo_stream.samples.samples import Samples, as_objects
from echo_stream.samples.validation import SampleSchema

HELD_OUT_FILE = "held_out.parquet"


def held_out_files(samples: Samples | None) -> dict[str, FileWriter]:
    """Return what writes held-out samples among the files of a snapshot; nothing without any."""
    if samples is None:
        return {}
    labels = [None] * len(samples) if samples.labels is None else samples.labels.tolist()
    columns = {
        "id": pa.array([str(sample_id) for sample_id in samples.ids], pa.string()),
        "label": label_column(labels),
        "x": payload_column(samples.x),
    }
    table = with_schema(pa.table(columns), SampleSchema.of(samples.x))
    return {HELD_OUT_FILE: lambda path: pq.write_table(table, path, compression="zstd")}


def read_held_out(unit: Path, manifest: Mapping[str, Any]) -> Samples | None:
    """Return the held-out samples of a snapshot that has been checked; None without any."""
    if HELD_OUT_FILE not in manifest["files"]:
        return None
    columns = pq.read_table(unit / HELD_OUT_FILE).to_pydict()
    return Samples(
        x=payloads(columns["x"], SampleSchema.from_json(manifest["schema"])),
        ids=as_objects(columns["id"]),
        labels=as_objects(columns["label"]),
    )


def is_held_out_in(unit: Path, sample_id: str) -> bool:
    """Tell whether a sample is among the held-out ones of a snapshot that has them."""
    return sample_id in pq.read_table(unit / HELD_OUT_FILE, columns=["id"])["id"].to_pylist()
