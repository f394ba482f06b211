"""`echo-stream build`: a data file becomes a snapshot, or a snapshot in a state."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.commands import TINY, N, answer, run_command, units, write_data


def ask(snapshot: Path, sql: str) -> Any:
    """Return the only row that a query brings."""
    (row,) = answer("query", sql, "--snapshot", snapshot)
    return row


@pytest.mark.slow
def test_out_is_one_snapshot(tmp_path: Path, data: Path) -> None:
    """The folder is what the result says it is: every sample counted, so many rows."""
    out = tmp_path / "coreset"
    built = answer("build", data, "--out", out, *TINY)
    sql = "SELECT count(*) AS rows, sum(weight) AS weight FROM coreset"
    assert ask(out, sql) == {"rows": built["rows"], "weight": pytest.approx(N, rel=1e-9)}
    manifest = answer("snapshots", "show", "--snapshot", out)
    assert (built["snapshot"], built["n"]) == (str(out), N)
    for name in ("id", "n", "num_distinct", "num_cells", "generation"):
        assert built[name] == manifest[name]


def test_words_go_to_stderr(tmp_path: Path, data: Path) -> None:
    """Beside the JSON there are two lines for people, and no progress bar in a pipe."""
    result = run_command("build", data, "--out", tmp_path / "coreset", *TINY)
    assert result.json()["n"] == N
    assert len(result.stderr.splitlines()) == 2
    assert f"{N} samples" in result.stderr


def test_budget_counts_core_and_support_comes_on_top(tmp_path: Path, data: Path) -> None:
    """Under the paper's preset the budget is the core; without support it is all."""
    sql = "SELECT count(*) FILTER (role = 'core') AS core, count(*) AS rows FROM coreset"
    answer("build", data, "--out", tmp_path / "with", *TINY)
    answer("build", data, "--out", tmp_path / "without", *TINY, "--support", 0)
    assert ask(tmp_path / "with", sql)["core"] == 20
    assert ask(tmp_path / "with", sql)["rows"] > 20
    assert ask(tmp_path / "without", sql) == {"core": 20, "rows": 20}


def test_budget_above_the_data_keeps_all(tmp_path: Path) -> None:
    """A small file is kept whole."""
    data = write_data(tmp_path / "data.npz", 5)
    answer("build", data, "--out", tmp_path / "coreset", *TINY)
    sql = "SELECT count(DISTINCT id) AS ids, count(*) AS core FROM coreset WHERE role = 'core'"
    assert ask(tmp_path / "coreset", sql) == {"ids": 5, "core": 5}


def test_same_call_same_snapshot(tmp_path: Path, data: Path) -> None:
    """A build can be repeated; another seed trains another encoder."""
    ids = [
        answer("build", data, "--out", tmp_path / name, "--budget", 20, "--epochs", 1, *seed)["id"]
        for name, seed in (("a", ()), ("b", ("--seed", 0)), ("c", ("--seed", 1)))
    ]
    assert ids[0] == ids[1] != ids[2]


def test_state_gets_snapshot_and_generation(tmp_path: Path, data: Path) -> None:
    """With --state the newest snapshot is there for the reading commands."""
    state = tmp_path / "state"
    built = answer("build", data, "--state", state, *TINY)
    assert Path(built["snapshot"]) == state / "snapshots" / built["id"]
    assert units(state / "snapshots") == [built["id"]]
    assert (state / "generations" / built["generation"] / "generation.json").is_file()
    assert answer("snapshots", "show", "--state", state)["id"] == built["id"]


@pytest.mark.parametrize("form", ["snapshot", "folder"])
def test_generation_of_another_build_is_used(tmp_path: Path, data: Path, form: str) -> None:
    """--generation takes a snapshot built with --out, or a generation's own folder."""
    first = answer("build", data, "--out", tmp_path / "first", *TINY, "--seed", 3)
    answer("build", data, "--state", tmp_path / "state", *TINY, "--seed", 3)
    forms = {
        "snapshot": tmp_path / "first",
        "folder": tmp_path / "state" / "generations" / first["generation"],
    }
    other = write_data(tmp_path / "other.npz", 100)
    second = answer(
        "build", other, "--out", tmp_path / "second", *TINY, "--generation", forms[form]
    )
    assert second["generation"] == first["generation"]
    assert second["n"] == 100


def test_npy_has_neither_labels_nor_ids(tmp_path: Path) -> None:
    """Samples alone are enough; an id is then the row number."""
    data = write_data(tmp_path / "data.npy")
    answer("build", data, "--out", tmp_path / "coreset", *TINY)
    sql = "SELECT count(label) AS labels, max(id::INT) < 300 AS are_rows FROM coreset"
    assert ask(tmp_path / "coreset", sql) == {"labels": 0, "are_rows": True}


def test_labels_and_ids_of_the_data_are_kept(tmp_path: Path) -> None:
    """Text stays text, and belongs to the same sample as before."""
    names = np.array([f"s{number}" for number in range(N)])
    labels = np.array([f"label of s{number}" for number in range(N)])
    data = write_data(tmp_path / "data.npz", y=labels, id=names)
    answer("build", data, "--out", tmp_path / "coreset", *TINY)
    sql = "SELECT count(*) AS wrong FROM coreset WHERE label <> 'label of ' || id"
    assert ask(tmp_path / "coreset", sql) == {"wrong": 0}


@pytest.mark.parametrize(
    "options",
    [
        ("--latent-encoder", "linear"),
        ("--objective", "pairwise"),
        ("--standardise",),
        ("--latent-dim", 3),
        ("--device", "cpu"),
    ],
    ids=lambda options: options[0],
)
def test_options_of_the_engine_are_taken(
    tmp_path: Path, data: Path, options: tuple[object, ...]
) -> None:
    """What is asked for is what the manifest says was done."""
    answer("build", data, "--out", tmp_path / "a", "--budget", 20, "--epochs", 1, *options)
    config = answer("snapshots", "show", "--snapshot", tmp_path / "a")["config"]
    name = str(options[0]).removeprefix("--").replace("-", "_")
    expected = True if len(options) == 1 else options[1]
    assert config.get(name, expected) == expected


def test_images_are_kept_as_they_are(tmp_path: Path) -> None:
    """The payload has the shape and the dtype of the data."""
    images = np.arange(40 * 6 * 5, dtype=np.uint16).reshape(40, 6, 5).astype(np.uint8)
    data = write_data(tmp_path / "data.npz", 40, x=images)
    answer("build", data, "--out", tmp_path / "coreset", *TINY)
    manifest = answer("snapshots", "show", "--snapshot", tmp_path / "coreset")
    assert manifest["schema"] == {"shape": [6, 5], "dtype": "uint8"}


def test_out_goes_before_a_state_of_the_environment(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state set for all commands does not contradict what one command is asked for."""
    monkeypatch.setenv("ECHO_STREAM_STATE", str(tmp_path / "state"))
    assert answer("build", data, "--out", tmp_path / "out", *TINY)["n"] == N
    assert not (tmp_path / "state").exists()
    answer("build", data, "--state", tmp_path / "state", *TINY)
    assert (tmp_path / "state" / "snapshots").is_dir()


@pytest.mark.parametrize(("preset", "kind"), [("adaptive", "adaptive"), ("fixed", "codebook")])
def test_the_budget_is_the_number_of_rows(
    tmp_path: Path, data: Path, preset: str, kind: str
) -> None:
    """Unless support comes on top of it; what is certain depends on the cells."""
    options = ("--out", tmp_path / "coreset", "--budget", 15, "--preset", preset)
    built = answer("build", data, *options)
    manifest = answer("snapshots", "show", "--snapshot", tmp_path / "coreset")
    assert built["rows"] == built["num_distinct"] == 15
    assert manifest["quantiser"]["kind"] == kind
    certain = {name: manifest[name] for name in ("certified_fraction", "coverage_at_least")}
    known = "coverage_at_least" if preset == "adaptive" else "certified_fraction"
    assert 0 < certain.pop(known) <= 1
    assert list(certain.values()) == [None]


@pytest.mark.parametrize("preset", ["paper", "fixed", "adaptive"])
def test_kinds_of_files_make_no_difference(tmp_path: Path, preset: str) -> None:
    """The same samples as .npz, .npy, Parquet and a folder of parts: the same snapshot."""
    x = np.random.default_rng(0).normal(size=(3_000, 7)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    np.save(tmp_path / "data.npy", x)
    table = pa.table({f"f{axis}": x[:, axis] for axis in range(7)})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=500)
    (tmp_path / "parts").mkdir()
    for part in range(2):
        rows = table.slice(part * 1_500, 1_500)
        pq.write_table(rows, tmp_path / "parts" / f"{part}.parquet")
    options = ["--budget", 40, "--preset", preset, "--warmup", 1_000, "--epochs", 1]
    ids = {
        answer("build", tmp_path / name, "--out", tmp_path / f"out-{name}", *options)["id"]
        for name in ("data.npz", "data.npy", "data.parquet", "parts")
    }
    assert len(ids) == 1
    sql = "SELECT bool_and(certified) AS whole FROM coreset"
    assert ask(tmp_path / "out-parts", sql)["whole"] is (None if preset == "adaptive" else True)
