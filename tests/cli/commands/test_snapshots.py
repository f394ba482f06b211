"""`echo-stream snapshots`: list, show, export and plot."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import TINY, answer, content, refusal, run_command, write_data

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with snapshots at 100, 200 and 300 samples."""
    folder = tmp_path_factory.mktemp("snapshots")
    data = write_data(folder / "data.npz")
    answer("run", data, "--state", folder / "state", *TINY, "--warmup", 50, "--snapshot-every", 100)
    return folder / "state"


def test_list_is_oldest_first(state: Path) -> None:
    """Each snapshot has its line, in the order in which they were taken."""
    listed = answer("snapshots", "list", "--state", state)
    assert [snapshot["n"] for snapshot in listed] == [100, 200, 300]
    assert [snapshot["time"] for snapshot in listed] == sorted(row["time"] for row in listed)


def test_list_as_a_table(state: Path) -> None:
    """People see the same, one line each."""
    listed = answer("snapshots", "list", "--state", state)
    table = run_command("snapshots", "list", "--state", state, "--format", "table").stdout
    lines = [line for line in table.splitlines() if line.startswith("│")]
    assert len(lines) == 3
    for line, snapshot in zip(lines, listed, strict=True):
        assert f" {snapshot['id']} " in line
        assert f" {snapshot['generation']} " in line


def test_list_of_a_state_without_snapshots(tmp_path: Path) -> None:
    """A run that has just begun has none yet, which is no error."""
    (tmp_path / "state" / "checkpoints").mkdir(parents=True)
    assert answer("snapshots", "list", "--state", tmp_path / "state") == []


def test_show_newest_by_id_by_path_and_from_the_environment(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ways to name a snapshot lead to the same manifest."""
    listed = answer("snapshots", "list", "--state", state)
    newest = answer("snapshots", "show", "--state", state)
    oldest = answer("snapshots", "show", "--state", state, "--snapshot", listed[0]["id"])
    assert (newest["n"], oldest["n"]) == (300, 100)
    path = state / "snapshots" / listed[0]["id"]
    assert answer("snapshots", "show", "--snapshot", path) == oldest
    monkeypatch.setenv("ECHO_STREAM_STATE", str(state))
    assert answer("snapshots", "show") == newest
    monkeypatch.setenv("ECHO_STREAM_SNAPSHOT", listed[0]["id"])
    assert answer("snapshots", "show") == oldest


def test_show_is_the_whole_manifest(state: Path) -> None:
    """Configuration, schema, offsets and checksums of the files are all there."""
    shown = answer("snapshots", "show", "--state", state)
    assert shown["config"]["budget"] == 20
    assert shown["schema"] == {"shape": [4], "dtype": "float32"}
    assert shown["offsets"] == {"row": 300}
    assert {"coreset.parquet", "cells.parquet", "edges.parquet"} <= set(shown["files"])


def test_unknown_id_names_those_there_are(state: Path) -> None:
    """A typing error in an id is told with the ids to choose from."""
    line = refusal("snapshots", "show", "--state", state, "--snapshot", "nope", exit_code=4)
    ids = [snapshot["id"] for snapshot in answer("snapshots", "list", "--state", state)]
    assert ids
    assert [each for each in ids if each not in line] == []


def test_export_is_a_data_set(state: Path, tmp_path: Path) -> None:
    """The rows come out as arrays with their labels, and `build` takes them in again."""
    destination = tmp_path / "coreset.npz"
    assert answer("snapshots", "export", destination, "--state", state) == {
        "written": str(destination)
    }
    original = np.random.default_rng(7).normal(size=(300, 4)).astype(np.float32)
    with np.load(destination) as exported:
        rows = exported["id"].astype(int)
        np.testing.assert_array_equal(exported["x"], original[rows])
        np.testing.assert_array_equal(exported["y"], rows % 3)
        assert set(exported["role"]) == {"core", "support"}
        assert exported["weight"].sum() == pytest.approx(300, rel=1e-9)
    assert answer("build", destination, "--out", tmp_path / "again", *TINY)["n"] == len(rows)


def test_export_by_the_name_of_the_destination(state: Path, tmp_path: Path) -> None:
    """A suffix names a file, none a folder of images; both are data sets again."""
    sql = "SELECT id FROM coreset WHERE selection_rank IS NOT NULL"
    rows = len(answer("query", sql, "--state", state))
    parquet, folder = tmp_path / "coreset.parquet", tmp_path / "images"
    written = answer("snapshots", "export", parquet, "--state", state)
    assert written == {"written": str(parquet)}
    assert answer("build", parquet, "--out", tmp_path / "again", *TINY)["n"] == rows
    images = np.random.default_rng(0).random((30, 4)).astype(np.float32)
    data = write_data(tmp_path / "images.npz", 30, x=images)
    answer("build", data, "--out", tmp_path / "coreset", *TINY)
    export = ("snapshots", "export", folder, "--snapshot", tmp_path / "coreset")
    refusal(*export, exit_code=2)
    answer(*export, "--image-shape", "2,2")
    labels = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert labels == ["0", "1", "2"]
    answer("build", folder, "--out", tmp_path / "of-images", *TINY)


def test_plot_is_a_picture(state: Path, tmp_path: Path) -> None:
    """A PNG comes out, and replaces one only with --overwrite."""
    destination = tmp_path / "map.png"
    destination.write_text("an old picture")
    answer("snapshots", "plot", destination, "--state", state, "--overwrite")
    assert destination.read_bytes().startswith(PNG_MAGIC)
    line = refusal("snapshots", "plot", destination, "--state", state, exit_code=2)
    assert "already exists" in line


def test_plot_of_more_dimensions(tmp_path: Path) -> None:
    """A latent space that is no plane is drawn by its map."""
    data = write_data(tmp_path / "data.npz")
    answer("build", data, "--out", tmp_path / "coreset", *TINY, "--latent-dim", 3)
    answer("snapshots", "plot", tmp_path / "map.png", "--snapshot", tmp_path / "coreset")
    assert (tmp_path / "map.png").read_bytes().startswith(PNG_MAGIC)


@pytest.mark.parametrize(
    ("command", "name"),
    [("export", "taken.npz"), ("export", "data.csv"), ("plot", "taken.png"), ("plot", "map.jpg")],
)
def test_destination_in_the_way_or_of_another_kind(
    state: Path, tmp_path: Path, command: str, name: str
) -> None:
    """A file of somebody's is never replaced unasked, and the suffix says what is written."""
    for taken in ("taken.npz", "taken.png"):
        (tmp_path / taken).write_text("precious")
    before = content(tmp_path)
    refusal("snapshots", command, tmp_path / name, "--state", state, exit_code=2)
    assert content(tmp_path) == before


def test_destination_in_no_folder(state: Path, tmp_path: Path) -> None:
    """A folder that is not there is told, not made."""
    destination = tmp_path / "folder" / "coreset.npz"
    line = refusal("snapshots", "export", destination, "--state", state, exit_code=2)
    assert "there is no folder" in line
    assert not destination.parent.exists()


def test_export_keeps_what_is_unknown(tmp_path: Path) -> None:
    """A label that is unknown is so after export and import, whatever the others are."""
    for kind, labels in (("numbers", np.arange(30) % 3), ("text", np.array(list("abc") * 10))):
        source = write_data(tmp_path / f"{kind}.npz", 30, y=labels, y_known=np.arange(30) % 4 > 0)
        answer("build", source, "--out", tmp_path / kind, *TINY)
        destination = tmp_path / f"{kind}-exported.npz"
        answer("snapshots", "export", destination, "--snapshot", tmp_path / kind)
        answer("build", destination, "--out", tmp_path / f"{kind}-again", *TINY)
        sql = "SELECT DISTINCT label FROM coreset ORDER BY label"
        before, after = (
            answer("query", sql, "--snapshot", tmp_path / name) for name in (kind, f"{kind}-again")
        )
        assert before == after
        assert None in [row["label"] for row in before]


@pytest.mark.parametrize("command", ["export", "plot"])
def test_destination_below_a_file(state: Path, tmp_path: Path, command: str) -> None:
    """A file in the place of a folder is told in one line."""
    (tmp_path / "file").write_text("in the way")
    destination = tmp_path / "file" / ("x.npz" if command == "export" else "x.png")
    line = refusal("snapshots", command, destination, "--state", state, exit_code=2)
    assert "there is no folder" in line


def test_name_that_is_too_long(state: Path, tmp_path: Path) -> None:
    """It is told in one line, by us or by the file system."""
    name = "x" * 300
    line = refusal("snapshots", "export", tmp_path / f"{name}.npz", "--state", state, exit_code=2)
    assert "at most 200 bytes" in line
    assert "name too long" in refusal("query", "SELECT 1", "--state", tmp_path / name, exit_code=1)


def test_damaged_snapshot_does_not_hide_the_others(state: Path) -> None:
    """It is skipped with a warning; asked for by name it is refused."""
    before = answer("snapshots", "list", "--state", state)
    other = state / "snapshots" / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"files": {}}')
    try:
        listed = run_command("snapshots", "list", "--state", state)
        assert listed.json() == before
        assert "snapshot skipped" in listed.stderr
        assert "is damaged" in refusal("snapshots", "show", "--snapshot", other, exit_code=4)
    finally:
        (other / "manifest.json").unlink()
        other.rmdir()
