"""A snapshot as Parquet: what other programs' loaders, and our own, make of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset, Snapshot
from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.inspect.export import export_snapshot

# Reads a file as the users of Hugging Face datasets do, without a network.
LOADER = """
import json, sys
from datasets import load_dataset

rows = load_dataset("parquet", data_files=sys.argv[1], cache_dir=sys.argv[2], split="train")
told = {"n": len(rows), "columns": rows.column_names, "first": rows[0]}
told["weight"] = sum(rows["weight"])
told["x"] = rows.with_format("numpy")[:]["x"].tolist()
print(json.dumps(told))
"""


def images(dtype: str = "uint8", shape: tuple[int, ...] = (3, 4), **settings: Any) -> Snapshot:
    """Return a snapshot of small images."""
    rng = np.random.default_rng(0)
    x = (rng.random((60, *shape)) * 200).astype(dtype)
    y = ["cat", "dog", None] * 20
    engine = EchoCoreset(12, warmup=60, device="cpu", **settings)
    return engine.fit(x, y, [f"id/{row}" for row in range(60)]).snapshot()


@pytest.mark.slow
def test_hugging_face_datasets_read_it(tmp_path: Path) -> None:
    """load_dataset("parquet") has every row, with images as arrays of their shape."""
    snapshot = images()
    destination = export_snapshot(snapshot, tmp_path / "coreset.parquet")
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home"), "PATH": ""}
    command = [sys.executable, "-c", LOADER, str(destination), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    told, rows = json.loads(done.stdout), snapshot.rows
    assert told["n"] == len(rows) == 12
    assert {"id", "x", "label", "role", "weight", "certified"} <= set(told["columns"])
    assert told["first"]["id"] == rows.samples.ids[0]
    assert told["weight"] == pytest.approx(60)
    assert told["x"] == rows.samples.x.tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "bool"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2)])
def test_it_is_a_data_set(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """`build` and `run` take it in again, bit for bit."""
    snapshot = images(dtype, shape)
    rows, read = (
        snapshot.rows.samples,
        read_file(export_snapshot(snapshot, tmp_path / "coreset.parquet")),
    )
    assert (read.x.dtype, read.x.tobytes()) == (rows.x.dtype, rows.x.tobytes())
    assert read.x.shape == rows.x.shape
    assert read.ids.tolist() == rows.ids.tolist()
    assert rows.labels is not None
    assert read.labels is not None
    assert read.labels.tolist() == rows.labels.tolist()
