"""A state folder: its lock, its checkpoints, which one counts, and its snapshots."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream import EchoCoreset, EngineConfig
from echo_stream.connectors.storage.engine_files import read_generation
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import find_snapshot, list_snapshots
from echo_stream.connectors.storage.state_store import KEPT_CHECKPOINTS, Checkpoint, StateStore
from echo_stream.connectors.storage.units import list_units, read_manifest, verify_unit
from echo_stream.errors import ConfigError, SnapshotError, StateError
from echo_stream.samples.samples import Origin, Samples, as_objects
from echo_stream.samples.source import Skipped
from echo_stream.samples.validation import as_samples
from tests.support.crashes.damage import cut_in_half

N = 2_600  # more than two blocks of the sketch
CONFIG = EngineConfig(budget=8, preset="paper", support=1, epochs=0, warmup=100, seed=5)
CONFIGS = (CONFIG, EngineConfig(budget=8, warmup=100, seed=5))
SOURCE = {"kind": "array", "n": N}
KILLED = 9

# Holds the lock of a state until its input ends.
HOLDER = """
import sys
from pathlib import Path
from echo_stream.connectors.storage.state_store import StateStore

with StateStore(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""

# Writes checkpoints in child processes, of which each dies before another operation on
# the file system; prints what is found after each death.
DYING_WRITERS = f"""
import json, os, sys
from pathlib import Path
import numpy as np
import torch
from echo_stream import EngineConfig
from echo_stream.connectors.storage.state_store import StateStore

torch.set_num_threads(1)  # a process that forks must not have others
state, config = Path(sys.argv[1]), EngineConfig.from_json(json.loads(sys.argv[2]))

def write(left):
    def die(event, _):
        nonlocal left
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            left -= 1
            if left < 0:
                os._exit({KILLED})

    with StateStore(state) as store:
        engine = store.load_checkpoint(config, device="cpu").engine
        engine.partial_fit(np.full((1, 2, 3), left % 256, np.uint8))
        sys.addaudithook(die)
        store.save_checkpoint(engine, {{"row": engine.n_seen_}}, {{}})

for moment in range(200):
    child = os.fork()
    if child == 0:
        try:
            write(moment)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with StateStore(state) as store:
        found = store.load_checkpoint(config, device="cpu")
    print(code, found.engine.n_seen_, found.offsets["row"], flush=True)
    if code != {KILLED}:
        break
"""


def samples() -> Samples:
    """Return samples as Kafka brings them: with ids, labels and origins."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (N, 2, 3)).astype(np.uint8)
    labels = [None if row % 5 == 0 else f"ä{row % 3}" for row in range(N)]
    checked = as_samples(x, labels, [f"id-{row}" for row in range(N)])
    origins = [None if row % 7 == 0 else Origin("t", row % 3, row, row) for row in range(N)]
    return Samples(checked.x, checked.ids, checked.labels, as_objects(origins))


def engine_of(n: int, config: EngineConfig = CONFIG) -> EchoCoreset:
    """Return an engine that has counted the first n samples."""
    engine = EchoCoreset.from_config(config, device="cpu")
    engine.update(samples()[:n])
    return engine


def save(folder: Path, *counts: int, config: EngineConfig = CONFIG) -> None:
    """Write checkpoints of engines that have counted so many samples."""
    with StateStore(folder) as store:
        for n in counts:
            store.save_checkpoint(engine_of(n, config), {"row": n}, SOURCE)


def load(folder: Path, config: EngineConfig = CONFIG) -> Checkpoint | None:
    """Return the checkpoint that a new process would go on from."""
    with StateStore(folder) as store:
        return store.load_checkpoint(config, device="cpu")


def loaded(folder: Path, config: EngineConfig = CONFIG) -> Checkpoint:
    """Return the checkpoint that a new process would go on from; there is one."""
    checkpoint = load(folder, config)
    assert checkpoint is not None
    return checkpoint


def comparable(engine: EchoCoreset) -> tuple[dict[str, Any], str]:
    """Return an engine's whole state in a form that can be compared."""
    arrays, meta = engine.to_state()
    columns = {name: (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()}
    return columns, json.dumps(meta)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a state, oldest first."""
    return list_units(folder / "checkpoints")


def test_new_state_has_no_checkpoint(tmp_path: Path) -> None:
    """A folder that does not exist is created, and there is nothing to go on from."""
    assert load(tmp_path / "new" / "state") is None
    assert (tmp_path / "new" / "state").is_dir()


@pytest.mark.slow
def test_second_process_is_refused(tmp_path: Path) -> None:
    """One process writes; another is told so at once, and may when the first has ended."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(StateError, match="is in use by another process; stop it, or give another"):
        StateStore(tmp_path)
    holder.kill()
    holder.communicate()
    with StateStore(tmp_path):
        pass


def test_lock_ends_with_the_block(tmp_path: Path) -> None:
    """Within one process as well there is one writer, also after an error."""
    with pytest.raises(KeyError), StateStore(tmp_path):
        with pytest.raises(StateError, match="is in use"):
            StateStore(tmp_path)
        raise KeyError
    with StateStore(tmp_path):
        pass


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    """Snapshots are found while the consumer writes."""
    with StateStore(tmp_path) as store:
        snapshot = engine_of(150).snapshot()
        store.save_snapshot(snapshot, {"row": 150})
        assert find_snapshot(tmp_path, None).name == snapshot.id


def test_folder_that_cannot_be_a_state(tmp_path: Path) -> None:
    """A file in the way is told in one line."""
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StateError, match=f"cannot use {folder} as a state"):
            StateStore(folder)


@settings(max_examples=15)
@given(cut=st.integers(0, 2_000), more=st.integers(0, 600), config=st.sampled_from(CONFIGS))
def test_restored_engine_goes_on_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, cut: int, more: int, config: EngineConfig
) -> None:
    """Save, load and continue is the same as to continue, wherever the cut falls."""
    folder, engine = tmp_path_factory.mktemp("state"), engine_of(cut, config)
    with StateStore(folder) as store:
        store.save_checkpoint(engine, {"row": cut, "t-0": 2**62}, SOURCE)
    restored = loaded(folder, config)
    assert (restored.offsets, restored.source) == ({"row": cut, "t-0": 2**62}, SOURCE)
    assert comparable(restored.engine) == comparable(engine)
    for each in (engine, restored.engine):
        each.update(samples()[cut : cut + more])
    assert comparable(restored.engine) == comparable(engine)


@pytest.mark.parametrize("cut", [0, 1, 99])
def test_warmup_goes_on(tmp_path: Path, cut: int) -> None:
    """What is held back is in the checkpoint: the same generation comes out of it."""
    save(tmp_path, cut)
    restored = loaded(tmp_path).engine
    assert restored.is_warming_up
    assert restored.n_seen_ == cut
    restored.update(samples()[cut:300])
    assert comparable(restored) == comparable(engine_of(300))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float64"])
def test_any_dtype_is_restored(tmp_path: Path, dtype: str) -> None:
    """Payloads are stored in the type in which they came."""
    x = np.random.default_rng(0).integers(0, 2, (1_100, 3)).astype(dtype)
    engine = EchoCoreset.from_config(CONFIG, device="cpu").partial_fit(x, np.arange(1_100) / 4)
    with StateStore(tmp_path) as store:
        store.save_checkpoint(engine, {}, {})
    assert comparable(loaded(tmp_path).engine) == comparable(engine)


def test_newest_checkpoint_counts(tmp_path: Path) -> None:
    """Also where a process has gone on with the numbering of another one."""
    save(tmp_path, 10, 20)
    save(tmp_path, 15)
    assert loaded(tmp_path).offsets == {"row": 15}
    assert [read_manifest(unit)["sequence"] for unit in checkpoints(tmp_path)] == [1, 2, 3]
    assert [read_manifest(unit)["parent"] for unit in checkpoints(tmp_path)] == [None, 1, 2]


def test_a_state_that_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    """But any offsets, source, number of what was skipped, or sample more is."""
    engine = engine_of(200)
    offsets, source, skipped = {"t/0": 5}, {"kind": "kafka", "topics": {"t": "a"}}, Skipped(1)
    with StateStore(tmp_path) as store:
        assert store.save_checkpoint(engine.copy(), offsets, source, skipped)
        for _ in range(2):
            assert store.save_checkpoint(engine.copy(), offsets, source, skipped) == 0
        assert store.save_checkpoint(engine, {"t/0": 6}, source, skipped)
        assert store.save_checkpoint(engine, {"t/0": 6}, {**source, "topics": {"t": "b"}}, skipped)
        assert store.save_checkpoint(engine, offsets, source, Skipped(2))
        assert store.save_checkpoint(engine_of(201), offsets, source, Skipped(2))
    assert read_manifest(checkpoints(tmp_path)[-1])["sequence"] == 5


def test_a_generation_that_was_trained_meanwhile_is_written(tmp_path: Path) -> None:
    """Although not a sample has come."""
    engine = engine_of(20)
    with StateStore(tmp_path) as store:
        assert store.save_checkpoint(engine, {"row": 20}, SOURCE)
        engine.end_warmup()
        assert store.save_checkpoint(engine, {"row": 20}, SOURCE)


def test_three_checkpoints_are_kept(tmp_path: Path) -> None:
    """The oldest go, one for each new one."""
    kept = []
    with StateStore(tmp_path) as store:
        for n in range(5):
            store.save_checkpoint(engine_of(n), {"row": n}, SOURCE)
            kept.append([read_manifest(unit)["n"] for unit in checkpoints(tmp_path)])
    assert kept == [[0], [0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert KEPT_CHECKPOINTS == 3


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("sketch.safetensors", flip),
        ("sketch.safetensors", cut_in_half),
        ("sketch.safetensors", Path.unlink),
        ("manifest.json", cut_in_half),
    ],
)
def test_damaged_checkpoint_is_skipped(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    """The one before it is gone on from, and a warning says which file is damaged."""
    save(tmp_path, 100, 200, 300)
    damage(checkpoints(tmp_path)[-1] / name)
    with caplog.at_level(logging.WARNING):
        restored = loaded(tmp_path)
    assert (restored.offsets, restored.engine.n_seen_) == ({"row": 200}, 200)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"checkpoint skipped: {checkpoints(tmp_path)[-1] / name}")
    restored.engine.update(samples()[200:300])
    assert comparable(restored.engine) == comparable(engine_of(300))


def test_two_damaged_checkpoints_are_skipped(tmp_path: Path) -> None:
    """As many as are kept, but for one, may be damaged; the next one is written all the same."""
    save(tmp_path, 100, 200, 300)
    for unit in checkpoints(tmp_path)[1:]:
        flip(unit / "sketch.safetensors")
    assert loaded(tmp_path).offsets == {"row": 100}
    save(tmp_path, 400)
    assert loaded(tmp_path).offsets == {"row": 400}


def test_all_checkpoints_damaged(tmp_path: Path) -> None:
    """A state that was there is never silently begun again."""
    save(tmp_path, 100, 200)
    for unit in checkpoints(tmp_path):
        flip(unit / "sketch.safetensors")
    with pytest.raises(StateError, match=f"all 2 checkpoints in {tmp_path} are damaged; use ano"):
        load(tmp_path)


@pytest.mark.slow
def test_killed_writer_loses_at_most_one_checkpoint(tmp_path: Path) -> None:
    """Whenever the process dies, what is found is the checkpoint before or the new one."""
    save(tmp_path, 148, 149, 150)
    run = subprocess.run(
        [sys.executable, "-c", DYING_WRITERS, tmp_path, json.dumps(CONFIG.to_json())],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = [tuple(map(int, line.split())) for line in run.stdout.splitlines()]
    assert [code for code, _, _ in found] == [KILLED] * (len(found) - 1) + [0]
    assert all(n == row for _, n, row in found)
    steps = np.diff([150, *(n for _, n, _ in found)]).tolist()
    # First the checkpoint before, at several moments; then, at several more, the new one.
    assert steps == sorted(steps)
    assert steps.count(0) >= 5
    assert steps.count(1) >= 5
    assert set(steps) == {0, 1}
    assert len(checkpoints(tmp_path)) == KEPT_CHECKPOINTS
    assert all(verify_unit(unit) for unit in checkpoints(tmp_path))


def test_leftovers_are_removed(tmp_path: Path) -> None:
    """What a writer that died has left is gone when the next one opens the state."""
    save(tmp_path, 150)
    leftovers = [tmp_path / name / ".tmp-1" for name in ("checkpoints", "generations", "snapshots")]
    for leftover in leftovers:
        leftover.mkdir(parents=True)
        (leftover / "half").write_text("half")
    with StateStore(tmp_path):
        assert not any(leftover.exists() for leftover in leftovers)
    assert loaded(tmp_path).offsets == {"row": 150}


OTHER = {
    "budget": 9,
    "preset": "fixed",
    "cells": "codebook",
    "latent": "identity",
    "rank": "uniform",
    "support": 2,
    "support_share": 0.5,
    "balance": "class",
    "latent_encoder": "linear",
    "objective": "pairwise",
    "latent_dim": 3,
    "epochs": 1,
    "standardise": True,
    "encoder": "sentence-transformers:minilm@53aa51172d14",
    "features": "encoders:image",
    "auto_regenerate": True,
    "on_duplicate": "replace",
    "holdout": 0.25,
    "seed": 6,
}


@pytest.mark.parametrize("n", [50, 150])
@pytest.mark.parametrize("setting", OTHER)
def test_other_configuration_is_refused(tmp_path: Path, setting: str, n: int) -> None:
    """The message names the setting and both values, while warming up as well."""
    # Support is on top of the budget under one preset and within it under the other.
    kept = replace(CONFIG, support=0) if setting == "preset" else CONFIG
    if setting in ("balance", "support_share"):
        kept = replace(kept, preset="fixed", cells=None, latent=None, rank=None, support=0)
    save(tmp_path, n, config=kept)
    config = EngineConfig.from_json({**kept.to_json(), setting: OTHER[setting]})
    there, here = kept.to_json()[setting], OTHER[setting]
    ask = "leave" if there is None else "set"
    words = f": {setting} is {there!r} there, {here!r} here; to continue it, {ask} {setting} "
    with pytest.raises(StateError, match=words):
        load(tmp_path, config)


def test_every_setting_is_checked_or_may_change() -> None:
    """A setting that is added later is decided upon."""
    assert set(CONFIG.to_json()) - set(OTHER) == {
        "warmup", "expected_n", "max_text_bytes", "max_payload_bytes", "keep", "demand_power",
        "min_distance", "snapshot_context",
    }  # fmt: skip


def test_every_difference_is_named(tmp_path: Path) -> None:
    """Whoever has changed two settings need not start twice."""
    save(tmp_path, 150)
    with pytest.raises(StateError, match=r"budget is 8 there, 9 here; seed is 5 there, 6 here;"):
        load(tmp_path, replace(CONFIG, budget=9, seed=6, warmup=7))


def test_other_settings_may_change(tmp_path: Path) -> None:
    """A longer warm-up goes on from what is held back; after it, the setting is moot."""
    longer = replace(CONFIG, warmup=200, expected_n=5_000)
    save(tmp_path / "warming", 50)
    engine = loaded(tmp_path / "warming", longer).engine
    assert engine.config == longer
    engine.update(samples()[50:150])
    assert engine.is_warming_up
    engine.update(samples()[150:250])
    assert comparable(engine) == comparable(engine_of(250, longer))
    save(tmp_path / "warm", 150)
    assert loaded(tmp_path / "warm", longer).engine.snapshot().n == 150


def test_generation_is_kept_beside(tmp_path: Path) -> None:
    """Once it is trained, its folder is there to be used elsewhere; it is written once."""
    save(tmp_path, 50)
    assert list_units(tmp_path / "generations", manifest_name="generation.json") == []
    save(tmp_path, 150, 250)
    (unit,) = list_units(tmp_path / "generations", manifest_name="generation.json")
    generation = loaded(tmp_path).engine.generation_
    assert unit.name == generation.id == read_generation(unit).id


def test_snapshot_is_written_once(tmp_path: Path) -> None:
    """The same one again has the same id, and its folder stays as it was."""
    snapshot = engine_of(150).snapshot()
    with StateStore(tmp_path) as store:
        first = store.save_snapshot(snapshot, {"row": 150})
        before = (tmp_path / "snapshots" / first / "manifest.json").read_bytes()
        again = store.save_snapshot(engine_of(150).snapshot(), {"row": 150})
        other = store.save_snapshot(engine_of(160).snapshot(), {"row": 160})
    assert first == again == snapshot.id != other
    assert (tmp_path / "snapshots" / first / "manifest.json").read_bytes() == before
    assert [unit.name for unit in list_snapshots(tmp_path)] == [first, other]
    read = read_snapshot(tmp_path / "snapshots" / first)
    assert (read.id, read.manifest["offsets"]) == (first, {"row": 150})


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Return a state with three snapshots, and their ids in order of writing."""
    folder = tmp_path_factory.mktemp("three")
    with StateStore(folder) as store:
        # Not in order of N, of which a name is made.
        ids = [
            store.save_snapshot(engine_of(n).snapshot(), {"row": n}) for n in (1_200, 150, 1_100)
        ]
    return folder, ids


def test_snapshots_are_listed_oldest_first(three: tuple[Path, list[str]]) -> None:
    """By the time they were written."""
    folder, ids = three
    assert [unit.name for unit in list_snapshots(folder)] == ids


def test_newest_snapshot_is_found(three: tuple[Path, list[str]]) -> None:
    """Without a name, the last one that was written."""
    folder, ids = three
    assert find_snapshot(folder, None) == folder / "snapshots" / ids[-1]


def test_snapshot_is_found_by_id_or_path(three: tuple[Path, list[str]]) -> None:
    """An id is one of the state's; a path is taken as it is, with a state or without."""
    folder, ids = three
    for name in ids:
        path = folder / "snapshots" / name
        assert find_snapshot(folder, name) == path
        assert find_snapshot(None, str(path)) == find_snapshot(folder, str(path)) == path
    assert find_snapshot(None, "unit") == Path("unit")
    assert find_snapshot(folder, "./unit") == Path("unit")


def test_unknown_snapshot(three: tuple[Path, list[str]]) -> None:
    """The message lists those that there are."""
    folder, ids = three
    with pytest.raises(SnapshotError, match=f"no snapshot 7; the newest are {', '.join(ids)}"):
        find_snapshot(folder, "7")


def test_no_snapshot(tmp_path: Path) -> None:
    """No state, a state without one, and nothing named: each says what to do."""
    with pytest.raises(SnapshotError, match=r"there is no state at .*nothing; create one with"):
        find_snapshot(tmp_path / "nothing", None)
    with pytest.raises(SnapshotError, match="is not a state: it has neither checkpoints nor"):
        find_snapshot(tmp_path, None)
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(SnapshotError, match="holds no snapshot yet; `"):
        find_snapshot(tmp_path, None)
    with pytest.raises(SnapshotError, match="holds no snapshot 7; the newest are none"):
        find_snapshot(tmp_path, "7")
    with pytest.raises(
        ConfigError, match="no snapshot was named; give state, or snapshot with a path"
    ):
        find_snapshot(None, None)
