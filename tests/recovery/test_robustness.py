"""What went wrong once when files, disks, children and callers misbehaved."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.dead_letters.files import DeadLetterFile
from echo_stream.connectors.inspect.export import export_npz
from echo_stream.connectors.inspect.query import query_snapshot
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.connectors.storage.snapshot_files import read_snapshot, write_snapshot
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.connectors.storage.units import list_units, read_manifest
from echo_stream.connectors.training.trainer import ChildTrainer
from echo_stream.errors import (
    ConfigError,
    DataError,
    InfrastructureError,
    QueryError,
    StateError,
    WarmupError,
)
from echo_stream.run.schedule import Every
from tests.support.crashes.disks import full_disk
from tests.support.strategies import identity_generation


def make_engine(n: int = 50, y: Any = None, ids: Any = None, budget: int = 5) -> EchoCoreset:
    """Return an engine that has counted n points."""
    x = np.random.default_rng(0).random((n, 2)).astype(np.float32)
    engine = EchoCoreset(budget, preset="fixed", generation=identity_generation(2, 5), device="cpu")
    return engine.partial_fit(x, y, ids) if n else engine


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a snapshot on disk."""
    write_snapshot(make_engine().snapshot(), tmp_path / "unit", time="t", offsets={})
    return tmp_path / "unit"


def test_nothing_counted_is_no_snapshot() -> None:
    """With a generation given and no sample yet there is nothing to select from."""
    with pytest.raises(WarmupError):
        make_engine(0).snapshot()


def test_an_infinite_label_is_refused() -> None:
    """No label can be counted that a checkpoint cannot hold."""
    with pytest.raises(DataError, match="label"):
        make_engine(y=np.full(50, np.inf))


@pytest.mark.parametrize("size", [0, 100, 5_000])
def test_checkpoint_on_a_full_disk(tmp_path: Path, size: int) -> None:
    """One clear line, no half-written checkpoint, and the next one works."""
    with StateStore(tmp_path, RetryPolicy(0)) as store:
        with full_disk(size), pytest.raises(InfrastructureError, match="cannot write"):
            store.save_checkpoint(make_engine(2_000), {}, {})
        assert list_units(tmp_path / "checkpoints") == []
        store.save_checkpoint(make_engine(), {}, {})


def test_checkpoint_that_has_lost_its_manifest(tmp_path: Path) -> None:
    """It is no unit, so it is none in the way either."""
    with StateStore(tmp_path) as store:
        for row in (1, 2):
            store.save_checkpoint(make_engine(), {"row": row}, {})
    (list_units(tmp_path / "checkpoints")[-1] / "manifest.json").unlink()
    with StateStore(tmp_path) as store:
        found = store.load_checkpoint(make_engine().config, device="cpu")
        assert found is not None
        store.save_checkpoint(found.engine, {"row": 3}, {})


def test_snapshot_that_has_lost_its_manifest(tmp_path: Path) -> None:
    """What is left of it does not keep the snapshot from being written again."""
    snapshot = make_engine().snapshot()
    with StateStore(tmp_path) as store:
        store.save_snapshot(snapshot, {})
        (tmp_path / "snapshots" / snapshot.id / "manifest.json").unlink()
        store.save_snapshot(snapshot, {})
    assert [found.name for found in list_units(tmp_path / "snapshots")] == [snapshot.id]


def test_copy_of_a_checkpoint_does_no_harm(tmp_path: Path) -> None:
    """What somebody has put beside the checkpoints is none."""
    with StateStore(tmp_path) as store:
        store.save_checkpoint(make_engine(), {"row": 1}, {})
    (first,) = list_units(tmp_path / "checkpoints")
    shutil.copytree(first, first.with_name("backup"))
    with StateStore(tmp_path) as store:
        assert store.load_checkpoint(make_engine().config, device="cpu") is not None


def newer_format(manifest: dict[str, Any]) -> None:
    """Claim a later format."""
    manifest["format_version"] = 99


def earlier_format(manifest: dict[str, Any]) -> None:
    """Claim the last format in which a snapshot could have a second coreset."""
    manifest["format_version"] = 3


def newer_setting(manifest: dict[str, Any]) -> None:
    """Add a setting that we do not know."""
    manifest["engine"]["config"]["a_later_setting"] = 1


def no_engine(manifest: dict[str, Any]) -> None:
    """Take the engine out."""
    del manifest["engine"]


def other_offsets(manifest: dict[str, Any]) -> None:
    """Move the offsets."""
    manifest["offsets"] = {"row": 58}


@pytest.mark.parametrize("change", [newer_format, newer_setting, no_engine, other_offsets])
def test_changed_checkpoint_manifest(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """An offset that somebody has changed would skip samples without a word."""
    with StateStore(tmp_path) as store:
        store.save_checkpoint(make_engine(), {"row": 50}, {})
    path = list_units(tmp_path / "checkpoints")[0] / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with StateStore(tmp_path) as store, pytest.raises(StateError):
        store.load_checkpoint(make_engine().config, device="cpu")


@pytest.mark.parametrize(
    "change", [newer_format, earlier_format, lambda manifest: manifest.pop("schema")]
)
def test_snapshot_of_another_format(unit: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """It is refused, not read as if it were ours."""
    manifest = json.loads((unit / "manifest.json").read_text())
    change(manifest)
    (unit / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StateError):
        read_snapshot(unit)


def test_deep_manifest(tmp_path: Path) -> None:
    """Damage that nests without end is damage."""
    (tmp_path / "manifest.json").write_text("[" * 200_000)
    with pytest.raises(StateError):
        read_manifest(tmp_path)


@pytest.mark.parametrize("sql", ["SELECT '\ud800'", "SELECT interval '9999999 years'"])
def test_sql_that_is_no_duckdb_error(unit: Path, sql: str) -> None:
    """Text that is no UTF-8, or a value that Python has no room for, is a failed query."""
    with pytest.raises(QueryError):
        query_snapshot(unit, sql)


def test_name_that_is_too_long(tmp_path: Path) -> None:
    """It is refused before anything is written."""
    with pytest.raises(ConfigError):
        export_npz(make_engine().snapshot(), tmp_path / f"{'a' * 300}.npz")


def test_dead_letters_may_be_closed_twice(tmp_path: Path) -> None:
    """To close what is closed does nothing."""
    dead_letters = DeadLetterFile(tmp_path)
    dead_letters.write([])
    dead_letters.close()
    dead_letters.close()


def test_interval_of_many_digits() -> None:
    """It is refused like any other that makes no sense."""
    with pytest.raises(ConfigError):
        Every.parse("9" * 5_000)


@pytest.fixture
def child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ChildTrainer, list[Any], list[str]]:
    """Return a trainer whose child says something before its result, and what it tells."""
    code = (
        "import os\nprint('building the model', flush=True)\nprint('{}', flush=True)\nos._exit(0)"
    )
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    trained: list[Any] = []
    failed: list[str] = []
    trainer = ChildTrainer(tmp_path, (), on_trained=trained.append, on_failed=failed.append)
    return trainer, trained, failed


def test_child_that_prints_does_not_end_the_run(
    child: tuple[ChildTrainer, list[Any], list[str]],
) -> None:
    """Whatever a child says, the stream goes on, and its end is told once."""
    trainer, trained, failed = child
    trainer.start("s")
    trainer.finish(lambda: True)
    assert len(trained) + len(failed) == 1


def test_training_that_has_ended_is_no_failure(
    tmp_path: Path, child: tuple[ChildTrainer, list[Any], list[str]]
) -> None:
    """A result that came before the end of the run is told as one."""
    trainer, trained, failed = child
    path = tmp_path / "sitecustomize.py"
    path.write_text(path.read_text().replace("print('building the model', flush=True)", ""))
    trainer.start("s")
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # ended, and nobody has polled since
    trainer.finish(lambda: False)
    assert (trained, failed) == ([{}], [])
