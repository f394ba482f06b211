"""Bytes of a state that have changed: never believed, always told, and the rest is used."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echo_stream.connectors.storage.units import list_units, read_manifest
from tests.support.commands import (
    TINY,
    N,
    answer,
    content,
    newest_checkpoint,
    refusal,
    run_command,
    write_data,
)
from tests.support.crashes.damage import damage, damages

CYCLE = 100
MANIFEST = "manifest.json"
FILES = {
    "checkpoints": ("sketch.safetensors", MANIFEST),
    "snapshots": ("coreset.parquet", "cells.parquet", "edges.parquet", "context.parquet", MANIFEST),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small file."""
    return write_data(tmp_path_factory.mktemp("data") / "data.npz")


def words(data: Path, state: Path, *more: object) -> list[object]:
    """Return a run over the file."""
    return ["run", data, "--state", state, *TINY, "--warmup", 50, *more]


@pytest.fixture(scope="module")
def begun(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with three checkpoints and three snapshots."""
    state = tmp_path_factory.mktemp("begun") / "state"
    for _ in range(N // CYCLE):
        answer(*words(data, state, "--max-samples", CYCLE))
    return state


@pytest.fixture
def state(begun: Path, tmp_path: Path) -> Path:
    """Return a copy of the state, to be damaged."""
    return shutil.copytree(begun, tmp_path / "state")


def units(state: Path, kind: str = "checkpoints") -> list[Path]:
    """Return the units of a kind, oldest first."""
    return list_units(state / kind)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES["checkpoints"]), how=damages)
def test_run_falls_back_on_the_checkpoint_before(
    data: Path, begun: Path, tmp_path: Path, name: str, how: tuple[str, float, int]
) -> None:
    """Whatever has changed, wherever: it is told, and the end is that of the whole state."""
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    state = shutil.copytree(begun, tmp_path / "state")
    newest = units(state)[-1]
    expected = read_manifest(newest)
    damage(newest / name, how)
    result = run_command(*words(data, state))
    assert result.exit_code == 0, result.stderr
    assert f"checkpoint skipped: {newest / name} " in result.stderr
    again = newest_checkpoint(state)
    assert result.json()["samples"] == CYCLE
    for entry in ("n", "offsets", "engine", "files"):
        assert again[entry] == expected[entry]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(FILES["checkpoints"]), damages), min_size=3, max_size=3))
def test_all_checkpoints_damaged(
    data: Path, begun: Path, tmp_path: Path, how: list[tuple[str, tuple[str, float, int]]]
) -> None:
    """Exit code 4, words on what to do, and nothing is touched or begun again."""
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    state = shutil.copytree(begun, tmp_path / "state")
    for unit, (name, each) in zip(units(state), how, strict=True):
        damage(unit / name, each)
    before = content(state)
    result = run_command(*words(data, state))
    assert (result.exit_code, result.stdout) == (4, "")
    *skipped, last = result.stderr.splitlines()
    assert [f"checkpoint skipped: {unit}" in line for unit, line in zip(
        reversed(units(state)), skipped, strict=True)] == [True] * 3  # fmt: skip
    assert last == f"Error: all 3 checkpoints in {state} are damaged; use another state"
    assert content(state) == before


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES["snapshots"]), how=damages)
def test_damaged_snapshot_is_never_read(
    begun: Path, tmp_path: Path, name: str, how: tuple[str, float, int]
) -> None:
    """`verify` finds it, and what would use it is refused; the others can be read."""
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    state = shutil.copytree(begun, tmp_path / "state")
    oldest, *_, newest = units(state, "snapshots")
    damage(newest / name, how)
    out = tmp_path / "out.npz"
    named = ["--snapshot", newest]
    assert str(newest / name) in refusal("snapshots", "export", out, *named, exit_code=4)
    verified = run_command("snapshots", "verify", *named)
    assert verified.exit_code == 4
    assert str(newest / name) in verified.stdout + verified.stderr
    assert not out.exists()
    answer("snapshots", "verify", "--snapshot", oldest)


def test_snapshot_of_a_damaged_one_before(data: Path, state: Path) -> None:
    """A run over a state whose newest snapshot is damaged goes on, and writes the next one."""
    shutil.rmtree(units(state, "snapshots")[-1])
    damaged = units(state, "snapshots")[-1]
    (damaged / MANIFEST).write_text("{")
    shutil.rmtree(units(state)[-1])
    result = run_command(*words(data, state))
    assert result.exit_code == 0, result.stderr
    assert f"snapshot skipped: {damaged / MANIFEST} is damaged" in result.stderr
    answer("query", "--state", state, "SELECT count(*) FROM coreset")


def test_damaged_generation(data: Path, state: Path) -> None:
    """A run needs the checkpoint alone; who begins another state with it is refused."""
    (generation,) = list_units(state / "generations", manifest_name="generation.json")
    damage(generation / "encoder.safetensors", ("flip", 0.5, 1))
    answer(*words(data, state))
    other = words(data, state.with_name("other"), "--generation", generation)
    assert "encoder.safetensors is damaged" in refusal(*other, exit_code=4)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format_version": 1}'])
def test_damaged_status(data: Path, state: Path, text: str) -> None:
    """`status` says so in a line, and the next run writes it again."""
    (state / "status.json").write_text(text)
    assert "status.json" in refusal("status", "--state", state, exit_code=4)
    answer(*words(data, state))
    assert answer("status", "--state", state)["n"] == N
