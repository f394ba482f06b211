"""Exports: a coreset that is a data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset, Snapshot
from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.inspect.export import export_npz
from echo_stream.errors import ConfigError
from tests.support.strategies import identity_generation

N = 30


def make_snapshot(y: Any = None, ids: Any = None, budget: int = 12) -> Snapshot:
    """Return the snapshot of 30 points."""
    x = np.random.default_rng(0).random((N, 2)).astype(np.float32)
    generation = identity_generation(dim=2, side=3)
    engine = EchoCoreset(budget, preset="paper", support=1, generation=generation, device="cpu")
    return engine.fit(x, y, ids).snapshot()


def test_export_is_a_data_file(tmp_path: Path) -> None:
    """What is read back has the rows of the coreset in their order."""
    snapshot = make_snapshot(y=np.arange(N), ids=[f"ä{row}" for row in range(N)])
    path = export_npz(snapshot, tmp_path / "coreset.npz")
    assert path == tmp_path / "coreset.npz"
    read, rows = read_file(path), snapshot.rows.samples
    assert rows.labels is not None
    assert read.labels is not None
    assert (read.x.dtype, read.x.tobytes()) == (rows.x.dtype, rows.x.tobytes())
    assert read.ids.tolist() == rows.ids.tolist()
    assert read.labels.tolist() == rows.labels.tolist()


def test_export_has_roles_and_weights(tmp_path: Path) -> None:
    """Whoever trains on it can tell the core from its support, and weight each row."""
    snapshot = make_snapshot()
    with np.load(export_npz(snapshot, tmp_path / "coreset.npz")) as arrays:
        assert sorted(arrays) == ["id", "role", "weight", "x"]
        assert arrays["role"].tolist() == snapshot.rows.roles.tolist()
        assert arrays["weight"].tobytes() == snapshot.rows.weights.tobytes()
        assert round(arrays["weight"].sum()) == N


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (list(range(N)), "i"),
        ([-(2**63), 2**63 - 1] * 15, "i"),
        ([row / 4 for row in range(N)], "f"),
        (["cat", "zwölf", ""] * 10, "U"),
    ],
)
def test_known_labels_come_back(tmp_path: Path, y: list[Any], kind: str) -> None:
    """Numbers as numbers, text as text."""
    snapshot = make_snapshot(y, budget=N)
    read = read_file(export_npz(snapshot, tmp_path / "coreset.npz"))
    assert read.labels is not None
    assert read.labels.dtype.kind == kind
    assert dict(zip(read.ids.tolist(), read.labels.tolist(), strict=True)) == {
        str(row): y[row] for row in range(N)
    }


@pytest.mark.parametrize(
    "y", [[None, 7, 0] * 10, [None, 0.5, 0.0] * 10, [None, "", "cat"] * 10, [1, 2, None] * 10]
)
def test_unknown_labels_stay_unknown(tmp_path: Path, y: list[Any]) -> None:
    """No object is written for None, and no label is taken for one that is unknown."""
    read = read_file(export_npz(make_snapshot(y, budget=N), tmp_path / "coreset.npz"))
    assert read.labels is not None
    assert dict(zip(read.ids.tolist(), read.labels.tolist(), strict=True)) == {
        str(row): y[row] for row in range(N)
    }


@pytest.mark.parametrize("y", [None, [None] * N])
def test_unknown_labels_are_left_out(tmp_path: Path, y: Any) -> None:
    """Where no label is known there is no y."""
    read = read_file(export_npz(make_snapshot(y), tmp_path / "coreset.npz"))
    assert read.labels is None


def test_export_of_an_export(tmp_path: Path) -> None:
    """A coreset of a coreset needs no conversion."""
    path = export_npz(make_snapshot(y=np.arange(N)), tmp_path / "coreset.npz")
    engine = EchoCoreset(5, device="cpu")
    again = engine.fit_source(read_file(path)).snapshot()
    assert len(read_file(export_npz(again, tmp_path / "again.npz"))) == len(again.rows)


def test_destination_in_the_way_is_kept(tmp_path: Path) -> None:
    """Neither a file nor a folder is overwritten."""
    (tmp_path / "file.npz").write_text("mine")
    (tmp_path / "folder.npz").mkdir()
    for name in ("file.npz", "folder.npz"):
        with pytest.raises(ConfigError, match=f"{name} already exists; remove it or give another"):
            export_npz(make_snapshot(), tmp_path / name)
    assert (tmp_path / "file.npz").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["coreset", "coreset.npy", "coreset.NPZ", "coreset.npz.gz"])
def test_other_suffix(tmp_path: Path, name: str) -> None:
    """A file is named for what it is."""
    with pytest.raises(ConfigError, match=rf"{name} is not a \.npz file; give a name that ends in"):
        export_npz(make_snapshot(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_no_folder(tmp_path: Path) -> None:
    """A folder that is not there is not created for a single file; a file is none."""
    (tmp_path / "file").write_text("mine")
    for name in ("nothing", "file"):
        with pytest.raises(ConfigError, match=f"there is no folder .*{name}; create it"):
            export_npz(make_snapshot(), tmp_path / name / "coreset.npz")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
