"""Embeddings that were made anew are taken where they are nearly those measured with."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data import banking, load
from echo_stream._common.typing import Array
from echo_stream.errors import SourceError
from tests.support.benchmarks.toy_files import write_npz

ROWS = {"train": 200, "test": 100}
CLASSES = 5
DIM = 32


def toy_arrays() -> dict[str, Array]:
    """Return vectors of unit length, sorted by class as the texts are, and their labels."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Array] = {}
    for part, n in ROWS.items():
        x = rng.normal(size=(n, DIM))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        arrays |= {f"x_{part}": x.astype(np.float16), f"y_{part}": np.arange(n) * CLASSES // n}
    return arrays


@pytest.fixture(autouse=True)
def arrays(monkeypatch: pytest.MonkeyPatch) -> dict[str, Array]:
    """Return the toy arrays, and let them be those that were measured with."""
    arrays = toy_arrays()
    for part, values in arrays.items():
        narrow = values if part.startswith("x") else values.astype(np.uint8)
        digest = hashlib.sha256(narrow.tobytes()).hexdigest()
        monkeypatch.setitem(banking.DIGESTS, part, digest)
        monkeypatch.setitem(banking.SHAPES, part, values.shape)
    for part in ("x_train", "x_test"):
        monkeypatch.setitem(banking.FINGERPRINTS, part, banking.fingerprint(arrays[part]))
    return arrays


def moved(x: Array, noise: float) -> Array:
    """Return embeddings, float32, with noise of a size in every number."""
    rng = np.random.default_rng(1)
    return (x + rng.normal(0, noise, x.shape)).astype(np.float32)


def within_classes(x: Array, y: Array) -> Array:
    """Return embeddings with the rows of each class in another order."""
    return x[np.lexsort((np.random.default_rng(1).random(len(y)), y))]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("is_packed", [True, False])
def test_the_same_embeddings_are_taken_in_silence(
    tmp_path: Path,
    arrays: dict[str, Array],
    capsys: pytest.CaptureFixture[str],
    dtype: type,
    *,
    is_packed: bool,
) -> None:
    """Of whatever type and in whatever file; they come as float32."""
    wide: dict[str, Array] = {part: values.astype(dtype) for part, values in arrays.items()}
    write_npz(tmp_path / banking.FILE, wide | {"more": np.zeros(3)}, is_packed=is_packed)
    data = load("banking77", [tmp_path])
    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    np.testing.assert_array_equal(data.y_test, arrays["y_test"])
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    assert data.y_train.dtype == data.y_test.dtype == np.int64
    assert data.is_embedding
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("part", ["x_train", "x_test"])
def test_embeddings_that_differ_in_the_last_digits_are_taken_with_a_word(
    tmp_path: Path, arrays: dict[str, Array], capsys: pytest.CaptureFixture[str], part: str
) -> None:
    """On stderr: what is measured with them will differ, too."""
    arrays[part] = moved(arrays[part], 1e-4)
    write_npz(tmp_path / banking.FILE, arrays)
    data = load("banking77", [tmp_path])
    np.testing.assert_array_equal(getattr(data, part), arrays[part].astype(np.float16))
    assert capsys.readouterr().err.count("differ from those that were measured with") == 1


@pytest.mark.parametrize("part", ["x_train", "x_test"])
@pytest.mark.parametrize(
    "kind", ["noise", "scale", "order", "classes' order", "shift", "nan", "infinite"]
)
def test_embeddings_that_are_far_are_refused(
    tmp_path: Path, arrays: dict[str, Array], part: str, kind: str
) -> None:
    """Another model's, of another length, or in another order; it is said which are meant."""
    x, y = arrays[part], arrays[part.replace("x_", "y_")]
    others = {
        "noise": moved(x, 1e-2),
        "scale": x * 5,
        "order": x[::-1],
        "classes' order": within_classes(x, y),
        "shift": np.roll(x, 1, axis=0),
        "nan": np.where(np.arange(len(x))[:, None] == 3, np.nan, x),
        "infinite": x.astype(np.float64) * 1e9,
    }
    write_npz(tmp_path / banking.FILE, arrays | {part: others[kind]})
    with pytest.raises(SourceError, match=f"the embeddings in its {part} are others") as caught:
        load("banking77", [tmp_path])
    assert "sentence-transformers/all-MiniLM-L6-v2" in str(caught.value)


@pytest.mark.parametrize("part", ["y_train", "y_test"])
@pytest.mark.parametrize("change", [[1], [0.5], [256], [-1]])
def test_other_labels_are_refused(
    tmp_path: Path, arrays: dict[str, Array], part: str, change: list[float]
) -> None:
    """Each must be what it is, whatever the type."""
    write_npz(tmp_path / banking.FILE, arrays | {part: arrays[part] + change})
    with pytest.raises(SourceError, match=f"its {part}"):
        load("banking77", [tmp_path])


@pytest.mark.parametrize("part", ["x_train", "y_train", "x_test", "y_test"])
def test_arrays_of_another_shape_or_kind_are_refused(
    tmp_path: Path, arrays: dict[str, Array], part: str
) -> None:
    """With those that are meant."""
    for other in (arrays[part][:-1], arrays[part].astype(str), np.zeros(())):
        write_npz(tmp_path / banking.FILE, arrays | {part: other})
        with pytest.raises(
            SourceError, match=rf"its {part}, .*, is not (floats|labels from 0 to 76) \("
        ):
            load("banking77", [tmp_path])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """As one without the arrays, not with a traceback."""
    (tmp_path / banking.FILE).write_bytes(content)
    with pytest.raises(SourceError, match="damaged, or no npz of x_train, y_train, x_test, y_test"):
        load("banking77", [tmp_path])
