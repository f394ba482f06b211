"""Disks that are full or closed: a run says so, loses nothing, and goes on when it can."""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from echo_stream.connectors.storage.units import list_units, read_manifest, verify_unit
from tests.support.commands import TINY, content, newest_checkpoint, write_data
from tests.support.crashes.disks import resize, small_disk
from tests.support.crashes.lives import Nursery

N = 2_000
NOBODY = 65_534


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file of which a state takes some hundred kilobytes."""
    x = np.random.default_rng(3).normal(size=(N, 64)).astype(np.float32)
    return write_data(tmp_path_factory.mktemp("data") / "data.npz", N, x=x)


def words(data: Path, state: Path, *more: object) -> list[object]:
    """Return a run that does not try again for long."""
    return [
        "run", data, "--state", state, *TINY, "--warmup", 200, "--retry-timeout", 1,
        "--checkpoint-every", 400, *more,
    ]  # fmt: skip


def files_of(state: Path) -> tuple[object, object]:
    """Return what is in the newest checkpoint and snapshot; all of them are whole."""
    for name in ("checkpoints", "snapshots"):
        for path in list_units(state / name):
            verify_unit(path)
    newest = list_units(state / "snapshots")[-1]
    return newest_checkpoint(state)["files"], read_manifest(newest)["files"]


@pytest.fixture(scope="module")
def expected(
    data: Path, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> tuple[object, object]:
    """Return what an undisturbed run leaves."""
    state = tmp_path_factory.mktemp("undisturbed") / "state"
    nursery.succeed(*words(data, state))
    return files_of(state)


@pytest.mark.parametrize("limit", [3_000, 60_000, 300_000, 700_000])
def test_files_that_do_not_fit(
    data: Path, nursery: Nursery, tmp_path: Path, expected: tuple[object, object], limit: int
) -> None:
    """Wherever writing fails: exit code 3, a line that says why, and nothing half-written."""
    state = tmp_path / "state"
    ended = nursery.run(*words(data, state), limit=limit)
    assert ended.exit_code == 3, ended
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("Error: cannot write")
    assert last.endswith("File too large; free space or give another folder")
    assert list(state.rglob(".tmp-*")) == []
    nursery.succeed(*words(data, state))
    assert files_of(state) == expected


def test_disk_that_is_full(
    data: Path, nursery: Nursery, tmp_path: Path, expected: tuple[object, object]
) -> None:
    """No space left, at checkpoints of any size; with more space it goes on to the same end."""
    with small_disk(tmp_path / "disk", "48k"):
        state = tmp_path / "disk" / "state"
        for size in ("48k", "200k", "600k", "1200k"):
            resize(tmp_path / "disk", f"size={size}")
            before = newest_checkpoint(state)["n"]
            ended = nursery.run(*words(data, state))
            assert ended.exit_code in {0, 3}, ended
            assert newest_checkpoint(state)["n"] >= before
            if size == "48k":
                assert ended.exit_code == 3
                assert "No space left on device; free space or give another" in ended.stderr
        resize(tmp_path / "disk", "size=64m")
        nursery.succeed(*words(data, state))
        assert files_of(state) == expected


def test_disk_that_is_full_for_a_while(
    data: Path, nursery: Nursery, tmp_path: Path, expected: tuple[object, object]
) -> None:
    """Space that somebody frees in time is enough: the run itself goes on."""
    with small_disk(tmp_path / "disk", "48k"):
        more_space = threading.Timer(2.0, resize, (tmp_path / "disk", "size=64m"))
        more_space.start()
        command = words(data, tmp_path / "disk" / "state", "--retry-timeout", 60)
        ended = nursery.run(*command)
        more_space.join()
        assert ended.exit_code == 0, ended
        assert "No space left on device" in ended.stderr
        assert "trying again for" in ended.stderr
        assert files_of(tmp_path / "disk" / "state") == expected


def test_disk_that_becomes_read_only(
    data: Path, nursery: Nursery, tmp_path: Path, expected: tuple[object, object]
) -> None:
    """Exit code 4; what is there can be looked at, and is as it was."""
    with small_disk(tmp_path / "disk", "64m"):
        state = tmp_path / "disk" / "state"
        nursery.succeed(*words(data, state, "--max-samples", 1_000))
        before = content(state)
        resize(tmp_path / "disk", "ro")
        ended = nursery.run(*words(data, state))
        assert (ended.exit_code, ended.stdout) == (4, "")
        assert "Read-only file system" in ended.stderr.splitlines()[-1]
        for command in (["snapshots", "list"], ["snapshots", "verify"], ["status"]):
            nursery.succeed(*command, "--state", state)
        advice = nursery.run("doctor", "--state", state).stdout
        assert "mount it writable, or give another --state" in advice
        assert content(state) == before
        resize(tmp_path / "disk", "rw")
        nursery.succeed(*words(data, state))
        assert files_of(state) == expected


def test_state_that_may_not_be_written(data: Path, nursery: Nursery, tmp_path: Path) -> None:
    """Of a user who may only read it: exit code 4, one line, and nothing is touched."""
    state = tmp_path / "state"
    nursery.succeed(*words(data, state, "--max-samples", 1_000))
    for path in (state, *state.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for folder in (tmp_path, *tmp_path.parents[:-2], data.parent, data):
        folder.chmod(folder.stat().st_mode | 0o055)
    before = content(state)
    ended = nursery.run(*words(data, state), user=NOBODY if os.geteuid() == 0 else None)
    assert (ended.exit_code, ended.stdout) == (4, "")
    (said,) = ended.stderr.splitlines()
    assert said == f"Error: cannot use {state} as a state: Permission denied"
    assert content(state) == before
    for path in (state, *state.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(state)
