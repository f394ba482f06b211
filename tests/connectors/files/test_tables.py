"""Tables: vectors, features and text in every format, and each text encoded once."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from echo_stream.config import TextLimits
from echo_stream.connectors.files.columns import ColumnNames
from echo_stream.connectors.files.data_files import file_source, read_file
from echo_stream.connectors.files.tables import ENCODED_ROWS, FileColumns
from echo_stream.encoders.loading import load_encoder
from echo_stream.errors import DataError
from tests.support.encoders import WORDS, CountingEncoder, count_words, payloads_of

N = 2 * ENCODED_ROWS + 30
TABLE = pa.table(
    {
        "id": [f"{row:05d}" for row in range(N)],
        "text": [f'line {row},\nwith "quotes" and {row % 5}' for row in range(N)],
        "intent": [f"class {row % 3}" for row in range(N)],
        "when": list(range(N)),
    }
)


def columns(**others: Any) -> FileColumns:
    """Return the columns of the table."""
    names = {"payload": "text", "label": "intent", **others}
    return FileColumns(ColumnNames(**names), load_encoder(WORDS))


def write(path: Path) -> Path:
    """Write the table in the format that the path says."""
    kind = path.name.split(".", 1)[1]
    lines = "".join(json.dumps(row) + "\n" for row in TABLE.to_pylist()).encode()
    if kind == "csv":
        pa.csv.write_csv(TABLE, path)
    elif kind == "jsonl":
        path.write_bytes(lines)
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(lines))
    elif kind == "feather":
        pa.feather.write_feather(TABLE, path)
    elif kind == "parquet":
        pq.write_table(TABLE, path, row_group_size=100)
    else:
        path.mkdir()
        for part in range(2):
            pq.write_table(TABLE.slice(part * 300, 300), path / f"{part}.parquet")
    return path


@pytest.mark.parametrize(
    "name", ["a.csv", "a.jsonl", "a.jsonl.gz", "a.feather", "a.parquet", "a.d"]
)
def test_every_format_brings_the_same(name: str, tmp_path: Path) -> None:
    """Texts as they are, ids as text, labels; and what is not read is told."""
    path = write(tmp_path / name)
    samples = read_file(path, columns=columns())
    assert payloads_of(samples) == TABLE["text"].to_pylist()
    assert samples.ids.tolist() == TABLE["id"].to_pylist()
    assert samples.labels is not None
    assert samples.labels.tolist() == TABLE["intent"].to_pylist()
    assert np.array_equal(samples.x, count_words(payloads_of(samples)))
    inputs = file_source(path, columns=columns()).inputs
    assert inputs.features == f"the vector of column text by {WORDS}"
    assert (inputs.label, inputs.id) == ("column intent", "column id")
    assert set(inputs.ignored) == {"when"}


def test_each_row_is_encoded_once(tmp_path: Path) -> None:
    """However often, and from wherever, the source is read."""
    encoder = CountingEncoder()
    given = FileColumns(ColumnNames(payload="text", label="intent"), encoder)
    source = file_source(write(tmp_path / "a.csv"), columns=given)
    source.next_batch(100)
    source.rewind()
    source.check()
    source.seek({"row": 450})
    rest = source.next_batch(N).samples
    assert rest is not None
    assert rest.ids[0] == "00450"
    assert np.array_equal(rest.x, count_words(TABLE["text"].to_pylist()[450 : 450 + len(rest)]))
    assert np.array_equal(source.x_of(np.array([0, 7])), count_words(encoder.seen)[[0, 7]])
    assert encoder.seen == TABLE["text"].to_pylist()


def test_reading_begins_in_the_middle(tmp_path: Path) -> None:
    """As a run does that continues: rows before are neither encoded nor brought."""
    source = file_source(write(tmp_path / "a.jsonl"), columns=columns())
    source.seek({"row": N - 40})
    ids = [each for part in source.batches() for each in part.ids.tolist()]
    assert ids == TABLE["id"].to_pylist()[N - 40 :]
    source.rewind()
    whole = [each for part in source.batches() for each in payloads_of(part)]
    assert whole == TABLE["text"].to_pylist()


@pytest.mark.parametrize(
    ("name", "content", "given", "words"),
    [
        ("a.csv", "id,txt\n1,a\n", {}, "a.csv: has no column 'text'; it has id, txt"),
        ("a.csv", "id,text\n1,a\n", {"label": "class"}, "has no column 'class'"),
        ("a.jsonl", '{"text": "a"}\n{"text": null}\n', {"label": None}, "row 1 is null"),
        ("a.jsonl", '{"text": 1}\n', {"label": None}, "row 0 is of type int; use text or bytes"),
        ("a.jsonl", '{"text": "a"}\n{"text"', {"label": None}, "a.jsonl: damaged"),
        ("a.xlsx", "text", {}, "is no table, so it has no columns to be named or encoded"),
        ("a.csv", "text\n", {"label": None}, "holds no samples"),
        ("a.csv", "", {}, "empty file"),
    ],
)
def test_tables_that_cannot_be_read(
    name: str, content: str, given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Each is refused by a sentence with the file's name."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_file(tmp_path / name, columns=columns(**given))


def test_payload_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """With its row."""
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "aaa"}\n', encoding="utf-8")
    source = file_source(
        tmp_path / "a.jsonl", columns=columns(label=None), limits=TextLimits(300, 2)
    )
    with pytest.raises(DataError, match="payload in row 1 has 3 bytes, and may have 2"):
        source.check()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl.gz", "a.feather", "a.parquet"])
def test_columns_of_numbers_are_features(name: str, tmp_path: Path) -> None:
    """Label and id by the names that are given; text that is not named is left out."""
    names = ColumnNames(label="intent", id="text")
    samples = read_file(write(tmp_path / name), columns=FileColumns(names))
    assert samples.payloads is None
    assert samples.ids.tolist() == TABLE["text"].to_pylist()
    # CSV and JSON have no types: ids that look like numbers are read as such.
    numbers = samples.x[:, -1].tolist()
    assert numbers == list(range(N))


def test_numbers_out_of_csv(tmp_path: Path) -> None:
    """Whole numbers and others make one array, and ids stay as they are written."""
    (tmp_path / "a.csv").write_text("id,age,income,city,y\n007,1,2.5,Bonn,3\n008,2,3,Rome,\n")
    source = file_source(tmp_path / "a.csv")
    samples = read_file(tmp_path / "a.csv")
    assert samples.x.tolist() == [[1, 2.5], [2, 3]]
    assert samples.ids.tolist() == ["007", "008"]
    assert samples.labels is not None
    assert samples.labels.tolist() == [3, None]
    assert source.inputs.features == "2 columns (age, income)"
    assert source.inputs.ignored == {"city": "string"}


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.feather"])
def test_vectors_with_texts_beside(name: str, tmp_path: Path) -> None:
    """Vectors that are ready, under a name, and the text that they were made of."""
    vectors = count_words(TABLE["text"].to_pylist())
    table = TABLE.append_column("embedding", pa.array(vectors.tolist()))
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(table, path)
    elif name.endswith("feather"):
        pa.feather.write_feather(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    names = ColumnNames("embedding", "text", "intent")
    samples = read_file(path, columns=FileColumns(names))
    assert np.array_equal(samples.x, vectors)
    assert payloads_of(samples) == TABLE["text"].to_pylist()
    inputs = file_source(path, columns=FileColumns(names)).inputs
    assert inputs.features == "column embedding (payload: column text)"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,city\na,b\n", "no column x and no columns of numbers; it has name, city"),
        ("a,b\n1,2\n1,\n", "column b has a null in row 1"),
        ("a,label,y\n1,2,3\n", "has two label columns, label and y"),
    ],
)
def test_tables_of_numbers_that_cannot_be_read(content: str, words: str, tmp_path: Path) -> None:
    """Each is refused by a sentence with the file's name."""
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=rf"a\.csv: .*{words}"):
        read_file(tmp_path / "a.csv")
