"""Labels in CSV files."""

import csv
from collections.abc import Iterator
from pathlib import Path

from echo_stream._common.typing import Label
from echo_stream.connectors.codecs.fields import number_or_text
from echo_stream.connectors.files.errors import naming
from echo_stream.errors import DataError

COLUMNS = ("id", "label")


def read_labels(path: Path) -> list[tuple[str, Label]]:
    """Return the ids and labels of a CSV file, in its order.

    Parameters
    ----------
    path : Path
        UTF-8, with a first line that names the columns `id` and `label`, among others
        perhaps. A label that is written as a number is one.

    Raises
    ------
    SourceError
        If there is no such file, or it may not be read.
    DataError
        If it is no such CSV, naming the line.
    """
    with naming(path), path.open(encoding="utf-8-sig", newline="") as file:
        return list(_pairs(csv.DictReader(file, strict=True)))


def _pairs(reader: "csv.DictReader[str]") -> Iterator[tuple[str, Label]]:
    """Yield id and label of each line."""
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        msg = f"no column {missing[0]}; the first line must name the columns id and label"
        raise DataError(msg)
    for row in reader:
        for name in COLUMNS:
            if not row[name]:
                msg = f"line {reader.line_num} has no {name}; give one, or leave the line out"
                raise DataError(msg)
        yield row["id"], number_or_text(row["label"])
