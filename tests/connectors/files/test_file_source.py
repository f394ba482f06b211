"""What holds of every data file as a source, whatever its format."""

import hashlib
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_stream._common.typing import Array
from echo_stream.connectors.files.data_files import file_source, read_file
from echo_stream.errors import DataError, ShapeError, SourceError
from echo_stream.samples.source import Source
from echo_stream.samples.validation import SampleSchema
from tests.support.data_files import (
    assert_same,
    read_in_steps,
    write_images,
    write_npy,
    write_npz,
    write_parquet,
)


def labels(n: int) -> list[str]:
    """Return n labels."""
    return [f"class {row % 3}" for row in range(n)]


def npy(folder: Path, x: Array) -> Path:
    """Write x alone."""
    return write_npy(folder, x)


def npz(folder: Path, x: Array) -> Path:
    """Write x with labels and ids."""
    return write_npz(folder, x=x, y=labels(len(x)), id=np.arange(len(x)) + 7)


def compressed_npz(folder: Path, x: Array) -> Path:
    """Write a compressed archive."""
    np.savez_compressed(folder / "data.npz", x=x, y=labels(len(x)))
    return folder / "data.npz"


def fortran_npz(folder: Path, x: Array) -> Path:
    """Write x as pandas often has it."""
    return write_npz(folder, x=np.asfortranarray(x), y=np.arange(len(x)))


def parquet(folder: Path, x: Array) -> Path:
    """Write lists of lists, in row groups of 4."""
    path = folder / "data.parquet"
    return write_parquet(path, 4, x=x.tolist(), y=labels(len(x)), id=list(map(str, range(len(x)))))


def parquet_parts(folder: Path, x: Array) -> Path:
    """Write three parts, the second of them empty, as Spark might."""
    cut = len(x) // 2
    for name, rows in (("a", x[:cut]), ("b", x[:0]), ("c", x[cut:])):
        column = pa.array(rows.reshape(-1, 6).tolist(), pa.list_(pa.int64()))
        write_parquet(folder / f"part-{name}.parquet", 3, x=column)
    return folder


def images(folder: Path, x: Array) -> Path:
    """Write grey images in three classes."""
    names = [f"class{row % 3}/{row}.png" for row in range(len(x))]
    return write_images(folder, dict(zip(names, x, strict=True)))


WRITERS = (npy, npz, compressed_npz, fortran_npz, parquet, parquet_parts, images)
Write = Callable[[Path, Array], Path]


@pytest.fixture(params=WRITERS, ids=lambda write: write.__name__)
def write(request: pytest.FixtureRequest) -> Write:
    """Return what writes a data set of each kind."""
    chosen: Write = request.param
    return chosen


def make_x(n: int, seed: int = 0) -> Array:
    """Return n images of shape (3, 2), uint8."""
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 2)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@given(
    n=st.integers(1, 23),
    chunk_rows=st.integers(1, 30),
    steps=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    start=st.integers(0, 22),
    seed=st.integers(0, 2**16),
)
def test_any_steps_make_the_whole(
    write: Write, n: int, chunk_rows: int, steps: list[int], start: int, seed: int
) -> None:
    """Chunks and batches of any size, from any row, bring what is read whole; twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), make_x(n, seed))
        whole, source = read_file(path), file_source(path, chunk_rows=chunk_rows)
        assert (source.num_samples, len(whole)) == (n, n)
        assert_same(read_in_steps(source, steps), whole)
        source.seek({"row": min(start, n - 1)})
        assert_same(read_in_steps(source, steps), whole[min(start, n - 1) :])
        source.rewind()
        assert_same(read_in_steps(source, steps), whole)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_payloads_are_rows_of_x(tmp_path: Path, write: Write) -> None:
    """Some rows or all, whatever the chunks; reading begins again afterwards."""
    source = file_source(write(tmp_path, make_x(23)), chunk_rows=4)
    x = read_file(source.name).x
    rows = np.array([0, 1, 7, 8, 22])
    source.next_batch(3)
    for chosen in (rows, None):
        payloads = source.x_of(chosen)
        assert payloads.dtype == x.dtype
        np.testing.assert_array_equal(payloads, x if chosen is None else x[chosen])
        assert isinstance(payloads, np.memmap)
        assert source.offsets() == {"row": 0}


def test_what_was_written_is_read(tmp_path: Path, write: Write) -> None:
    """Every number is there, in the order of the ids."""
    x = make_x(10)
    samples = read_file(write(tmp_path, x))
    order = np.argsort([int(str(name).split("/")[-1].split(".")[0]) for name in samples.ids])
    np.testing.assert_array_equal(samples.x[order].reshape(10, -1), x.reshape(10, -1))


def test_resumes_after_the_last_sample(tmp_path: Path, write: Write) -> None:
    """A new source at the old one's offsets brings the rest; JSON holds the offsets."""
    path = write(tmp_path, make_x(9))
    source, resumed = file_source(path, chunk_rows=4), file_source(str(path))
    source.next_batch(3)
    resumed.seek(json.loads(json.dumps(source.offsets())))
    assert_same(read_in_steps(resumed, [2]), read_in_steps(source, [5]))
    assert source.next_batch(1).samples is None


def test_keeps_the_contract_of_a_source(tmp_path: Path, write: Write) -> None:
    """A file can stand wherever a source can."""
    path = write(tmp_path, make_x(5))
    source = file_source(path)
    as_source: Source = source
    assert as_source.name == str(path)
    assert source.offsets() == {"row": 0}
    source.commit(source.offsets())
    source.next_batch(2)
    source.close()
    assert len(read_in_steps(source, [5])) == 3
    assert source.is_exhausted


@pytest.mark.parametrize("row", [-1, 6])
def test_seek_outside_is_refused(tmp_path: Path, write: Write, row: int) -> None:
    """An offset of a longer file is an error, not an end."""
    source = file_source(write(tmp_path, make_x(5)))
    with pytest.raises(SourceError, match=f"has 5 samples; cannot resume at row {row}"):
        source.seek({"row": row})
    assert source.offsets() == {"row": 0}


def test_refuses_another_schema(tmp_path: Path, write: Write) -> None:
    """A file of other samples than those counted is refused before it is read."""
    source = file_source(write(tmp_path, make_x(4)))
    source.expect(source.schema)
    with pytest.raises(ShapeError, match="expected samples of shape"):
        source.expect(SampleSchema((28, 28), "uint8"))


def test_description_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content and number of samples identify a file, wherever it was opened from."""
    path = npy(tmp_path, make_x(4))
    monkeypatch.chdir(tmp_path)
    source = file_source("data.npy")
    assert source.name == "data.npy"
    assert json.loads(json.dumps(source.describe())) == {
        "kind": "file",
        "path": str(path.resolve()),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "n": 4,
    }


def test_description_of_a_folder(tmp_path: Path) -> None:
    """Moved, a folder is the same; a name or a byte changed, it is another."""
    first, second = (images(tmp_path / name, make_x(4)) for name in ("first", "second"))
    described = file_source(first).describe()
    assert (described["kind"], described["n"]) == ("folder", 4)
    assert file_source(second).describe() == described | {"path": str(second)}
    (second / "class0" / "0.png").rename(second / "class0" / "zero.png")
    assert file_source(second).describe()["sha256"] != described["sha256"]
    (first / "class0" / "0.png").write_bytes((first / "class1" / "1.png").read_bytes())
    assert file_source(first).describe()["sha256"] != described["sha256"]


@pytest.mark.parametrize("write", [npy, npz, compressed_npz, parquet])
def test_row_of_the_whole_file_is_named(tmp_path: Path, write: Write) -> None:
    """Wherever the chunks are cut, the message has the file and the row in it."""
    x = np.zeros((12, 3, 2))
    x[9, 1, 1] = np.nan
    path = write(tmp_path, x)
    for chunk_rows in (1, 5, 12):
        source = file_source(path, chunk_rows=chunk_rows)
        for _ in range(2):  # the same again where it is asked for again
            with pytest.raises(DataError, match=r"data\.\w+: x has NaN in row 9; remove"):
                read_in_steps(source, [3])


def test_check_reads_everything_and_begins_again(tmp_path: Path) -> None:
    """A bad last row is found before the first one is used; a good file starts at row 0."""
    good = file_source(npy(tmp_path, make_x(8)), chunk_rows=3)
    good.next_batch(5)
    good.check()
    assert good.offsets() == {"row": 0}
    x = np.zeros((8, 3))
    x[7] = np.inf
    with pytest.raises(DataError, match="inf in row 7"):
        file_source(npy(tmp_path, x), chunk_rows=3).check()


def test_file_that_has_gone_is_named(tmp_path: Path) -> None:
    """Between two passes a file can go; that is a matter of the source."""
    path = parquet(tmp_path, make_x(8))
    source = file_source(path, chunk_rows=3)
    path.unlink()
    with pytest.raises(SourceError, match=r"data\.parquet: no such file"):
        source.next_batch(1)


@pytest.mark.parametrize("write", [npz, compressed_npz, parquet])
def test_file_that_became_shorter_is_named(tmp_path: Path, write: Write) -> None:
    """Between two passes a file can change; rows that are missing are not passed over."""
    source = file_source(write(tmp_path, make_x(8)), chunk_rows=3)
    read_in_steps(source, [3])
    write(tmp_path, make_x(5))
    source.seek({"row": 0})
    with pytest.raises(DataError, match=r"^.*data\.\w+: [^\n]*$"):
        read_in_steps(source, [3])


@pytest.mark.parametrize("write", [npy, npz, compressed_npz, fortran_npz])
def test_memory_holds_a_chunk(tmp_path: Path, write: Write) -> None:
    """A pass over 16 MB takes a fraction of it, and so does opening."""
    path = write(tmp_path, np.zeros((40_000, 20, 20), np.uint8))
    tracemalloc.start()
    source = file_source(path, chunk_rows=500)
    for _ in source.batches():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Labels and ids are held whole: 40,000 times 28 and 8 bytes, checked as objects at first.
    assert peak < 8_000_000


def test_parquet_memory_holds_a_batch(tmp_path: Path) -> None:
    """Arrow's memory is bounded within a row group, even where that is the whole file."""
    values = np.random.default_rng(0).integers(0, 256, 40_000 * 400, np.uint8)
    column = pa.FixedSizeListArray.from_arrays(pa.array(values), 400)
    path = write_parquet(tmp_path / "data.parquet", 40_000, x=column)
    del column
    source = file_source(path, chunk_rows=500)
    before, peak = pa.total_allocated_bytes(), 0
    for _ in source.batches():
        peak = max(peak, pa.total_allocated_bytes() - before)
    # A byte is decoded as an integer of four, with as much for its level; pages come on top.
    assert 0 < peak < 32 * 500 * 400
