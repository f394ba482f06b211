"""DATA of every kind: what `build`, `run` and `train` make of it is the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from echo_stream.sketch import cells
from tests.support.commands import TINY, N, answer, content, refusal, units, write_data
from tests.support.data_files import write_images, write_parquet

IMAGES = np.random.default_rng(7).integers(0, 256, (N, 6, 5)).astype(np.uint8)
LABELS = np.array([f"class{row % 3}" for row in range(N)])
NAMES = np.array([f"{label}/{row:03}.png" for row, label in enumerate(LABELS)])
IN_ORDER = np.argsort(NAMES)  # a folder is read in the order of its paths


def npz(folder: Path) -> Path:
    """Write the samples as an archive, in the order of their names."""
    x, y, names = IMAGES[IN_ORDER], LABELS[IN_ORDER], NAMES[IN_ORDER]
    return write_data(folder / "data.npz", x=x, y=y, id=names)


def parquet(folder: Path) -> Path:
    """Write the same as a Parquet file of several row groups."""
    x, y, names = IMAGES[IN_ORDER], LABELS[IN_ORDER], NAMES[IN_ORDER]
    columns = {"x": [row.tobytes() for row in x], "label": y.tolist(), "id": names.tolist()}
    metadata = {"x_dtype": "uint8", "x_shape": "6,5"}
    return write_parquet(folder / "data.parquet", 70, metadata, **columns)


def images(folder: Path) -> Path:
    """Write the same as an image folder."""
    return write_images(folder / "images", dict(zip(NAMES.tolist(), IMAGES, strict=True)))


@pytest.fixture(params=[parquet, images], ids=lambda write: write.__name__)
def write(request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    """Return what writes the samples in one of the new kinds."""
    chosen: Callable[[Path], Path] = request.param
    return chosen


@pytest.mark.slow
def test_build_makes_the_same_coreset(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """The snapshot of every kind of data is that of the archive, bit for bit."""
    words = ("--out", tmp_path / "expected", *TINY)
    expected = answer("build", npz(tmp_path), *words)
    built = answer("build", write(tmp_path), "--out", tmp_path / "built", *TINY)
    assert (built["id"], built["n"]) == (expected["id"], N)


@pytest.mark.slow
def test_run_goes_on_where_it_left_off(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Stopped and resumed, the stream ends in the snapshot of a build."""
    data, state = write(tmp_path), tmp_path / "state"
    built = answer("build", data, "--out", tmp_path / "built", *TINY)
    words = ["run", data, "--state", state, *TINY, "--generation", tmp_path / "built"]
    parts = [answer(*words, "--max-samples", number) for number in (1, 99, 1_000)]
    assert [part["samples"] for part in parts] == [1, 99, 200]
    assert parts[-1]["snapshots"] == [built["id"]]
    assert answer(*words)["samples"] == 0


def test_run_refuses_data_that_have_changed(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Another byte in any file makes it another source."""
    data, state = write(tmp_path), tmp_path / "state"
    answer("run", data, "--state", state, *TINY, "--max-samples", 100, "--warmup", 50)
    before = content(state)
    file = data if data.is_file() else data / NAMES[0]
    file.write_bytes(file.read_bytes() + b"\0")
    line = refusal("run", data, "--state", state, *TINY, exit_code=4 if data.is_dir() else 1)
    assert str(data) in line
    assert content(state) == before


def test_train_scores_on_it(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """--test takes what build takes."""
    data = write(tmp_path)
    answer("build", data, "--state", tmp_path / "state", *TINY)
    quick = ("--model", "mlp", "--train-epochs", 1)
    shown = answer("train", "--state", tmp_path / "state", *quick, "--test", data)
    assert shown["test_samples"] == N
    assert set(shown["per_class"]) == set(LABELS.tolist())


@pytest.mark.parametrize("command", ["build", "run"])
def test_bad_row_is_one_line(tmp_path: Path, command: str) -> None:
    """The line names file and row, and nothing is written."""
    rows = [[1.0, 2.0]] * 10
    parquet_file = write_parquet(tmp_path / "bad.parquet", 3, x=[*rows, [1.0, None]])
    folder = write_images(tmp_path / "bad", {"a.png": IMAGES[0], "b.png": IMAGES[0, :3]})
    where = ("--out" if command == "build" else "--state", tmp_path / "target")
    for data, words in (
        (parquet_file, "column x has a null in row 10"),
        (folder, "b.png: has 5 × 3 pixels where a.png has 5 × 6"),
    ):
        line = refusal(command, data, *where, *TINY, exit_code=1)
        assert line.startswith(f"Error: {data}: ")
        assert words in line
        assert not any(content(tmp_path / "target").values())


def test_row_that_goes_bad_late_keeps_what_was_checkpointed(tmp_path: Path) -> None:
    """A stream that ends in a bad row ends in its line; checkpoints before it stay."""
    x = np.zeros((N, 5_000), np.float32)  # a chunk is about a hundred of these
    x[-1, 2] = np.nan
    data = write_data(tmp_path / "data.npz", x=x)
    words = ["run", data, "--state", tmp_path / "state", *TINY, "--warmup", 50]
    answer(*words, "--max-samples", 100)
    before = units(tmp_path / "state" / "checkpoints")
    assert f"NaN in row {N - 1}" in refusal(*words, exit_code=1)
    assert units(tmp_path / "state" / "checkpoints") == before


@pytest.mark.parametrize("command", ["build", "run", "produce"])
@pytest.mark.parametrize("name", ["customers.parquet", "parts"])
def test_bad_file_is_named_once(tmp_path: Path, command: str, name: str) -> None:
    """However many layers read a file, its name stands once at the beginning, a part's after it."""
    column = pa.array([1.0, float("nan")])
    path = tmp_path / name
    if name == "parts":
        path.mkdir()
    pq.write_table(pa.table({"a": column}), path / "0.parquet" if name == "parts" else path)
    out: dict[str, list[object]] = {
        "build": ["--out", tmp_path / "out"],
        "run": ["--state", tmp_path / "state"],
        "produce": ["--topic", "t", "--bootstrap-servers", "127.0.0.1:1"],
    }
    line = refusal(command, path, *out[command], exit_code=1)
    assert line == f"Error: {path}: x has NaN in row 1; remove or impute non-finite values"


def test_what_does_not_fit_into_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the allocator refuses ends with exit code 3."""
    # A limit on memory would hold for the process of the tests.
    monkeypatch.setattr(cells, "INITIAL_CELLS", 2**40)
    data = write_data(tmp_path / "data.npz")
    line = refusal("build", data, "--out", tmp_path / "out", *TINY, exit_code=3)
    assert line.startswith("Error: out of memory, or the device failed (")
    assert line.endswith("); lower --budget or use smaller samples")
