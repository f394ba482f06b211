"""Members of a group that die before any operation on their files, one after the other.

Run as a program: each member is a process that is forked from one which has imported
everything, and counts a cycle: claims, dead letters, two versions of a segment and a snapshot
of each, a compaction, and goodbye.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echo_stream import EchoCoreset, EngineConfig
from echo_stream._common.typing import BoolArray, IntArray
from echo_stream.connectors.dead_letters.files import DeadLetterFile, read_dead_letters
from echo_stream.connectors.group.merge import compact, merge_group
from echo_stream.connectors.group.segment_store import SegmentStore
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import find_snapshot
from echo_stream.generation.generation import Generation
from echo_stream.run.config import RunConfig
from echo_stream.run.runtime import Environment, Run
from echo_stream.run.schedule import Every
from echo_stream.samples.samples import Origin, Samples, as_objects
from echo_stream.samples.source import ArraySource, Batch, RejectedSample
from tests.support.crashes.failpoints import Failpoints
from tests.support.crashes.power_cut import Ledger, cut_power

NAMES = ("events/0", "events/1")
LENGTH = 60  # samples of a partition
CYCLE = 10  # of them that a version takes in
CONFIG = EngineConfig(budget=20, preset="paper", support=1, epochs=0)
SOURCE = {"kind": "test"}
LIMIT = 600  # operations, by far more than a cycle has
KILLED = -signal.SIGKILL
AT_ONCE = RunConfig(
    checkpoint_every=Every(seconds=1),
    snapshot_every=Every(seconds=1),
    last_snapshot=False,
    max_bad_share=1,
)
"""A checkpoint and a snapshot after each batch, by a clock that goes on a second at each look."""


def is_poison(offsets: IntArray) -> BoolArray:
    """Tell which messages are no samples: each cycle has one in each partition."""
    return np.equal(offsets % CYCLE, CYCLE // 2)


def partitions() -> dict[str, Samples]:
    """Return what the partitions hold, in the order of their offsets, poison included."""
    rng = np.random.default_rng(5)
    return {
        name: Samples(
            x=rng.normal(size=(LENGTH, 3)).astype(np.float32),
            ids=as_objects([f"{name}-{offset}" for offset in range(LENGTH)]),
        )
        for name in NAMES
    }


def trained() -> Generation:
    """Return the group's generation."""
    samples = Samples.concatenate(list(partitions().values()))
    return EchoCoreset.from_config(CONFIG).fit_source(samples).generation_


class Partitions(ArraySource):
    """Read partitions side by side, so many messages of each at a time, for some batches."""

    def __init__(self, begins: Mapping[str, int], *, size: int, num_batches: int) -> None:
        super().__init__(next(iter(partitions().values())))
        self._given, self._offsets = partitions(), dict(begins)
        self._size, self._num_left = size, num_batches

    @property
    def is_exhausted(self) -> bool:
        """Return whether all batches have been handed out."""
        return self._num_left == 0

    def next_batch(self, max_samples: int) -> Batch:
        """Return the next messages of each partition."""
        assert len(NAMES) * self._size <= max_samples
        self._num_left -= 1
        samples, rejected = [], []
        for name, begin in self._offsets.items():
            end = self._offsets[name] = min(begin + self._size, LENGTH)
            offsets = np.arange(begin, end)
            samples.append(self._given[name][offsets[~is_poison(offsets)]])
            rejected += [_rejected(name, offset) for offset in offsets[is_poison(offsets)].tolist()]
        return Batch(Samples.concatenate(samples), rejected)

    def offsets(self) -> dict[str, int]:
        """Return the next offset of each partition."""
        return dict(self._offsets)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the source."""
        return SOURCE


def _rejected(name: str, offset: int) -> RejectedSample:
    """Return a message that is no sample."""
    topic, number = name.split("/")
    value = f"{name}-{offset}".encode()
    return RejectedSample("decode", "junk", None, value, (), Origin(topic, int(number), offset, 0))


def be_member(
    folder: Path,
    generation: Generation,
    *,
    num_versions: int,
    term: int,
    size: int = CYCLE,
    above: int = 1,
) -> None:
    """Be a member: take all partitions over, count some more of them, and leave.

    Each version takes in so many messages of each partition, its size, and has a snapshot.
    More segments than above are merged into one, but for its own.
    """
    start = dict.fromkeys(NAMES, 0)
    with (
        closing(GroupState(folder, "counters")) as state,
        closing(DeadLetterFile(folder / "dead-letters")) as dead_letters,
    ):
        state.begin(CONFIG, SOURCE, lambda: start, generation)
        claimed = state.claim(start, group_generation=term, by_force=True)
        assert claimed is not None
        segment = SegmentStore(
            state, *claimed, group_generation=term, device="cpu", keep_snapshots=2
        )
        source = Partitions(segment.begins, size=size, num_batches=num_versions)
        engine = EchoCoreset.from_config(CONFIG, generation=generation)
        Run(source, engine, segment, dead_letters, AT_ONCE, Environment(count().__next__)).run()
        compact(state, CONFIG, device="cpu", above=above)
        segment.end()


def ends(folder: Path) -> dict[str, int]:
    """Return where the partitions go on."""
    with closing(GroupState(folder, "counters")) as state:
        return state.ends()


def told(folder: Path) -> dict[str, Any]:
    """Return what a state holds that must not depend on how often members died."""
    with closing(GroupState(folder, "counters")) as state:
        merged = merge_group(state, CONFIG, device="cpu")
    offsets, engine = merged.offsets, merged.engine
    if engine is None:
        return {"offsets": offsets}
    snapshot, written = engine.snapshot(), read_snapshot(find_snapshot(folder, None))
    dead_letters = [
        dead_letter.sample for dead_letter in read_dead_letters(folder / "dead-letters")
    ]
    return {
        "offsets": offsets,
        "n": snapshot.n,
        "counts": snapshot.cells.counts.tolist(),
        "centroids": snapshot.cells.centroids.tobytes().hex(),
        "ids": snapshot.rows.samples.ids.tolist(),
        "weights": snapshot.rows.weights.tolist(),
        "certified": snapshot.rows.certified.tolist(),
        "written": [written.n, written.rows.samples.ids.tolist(), written.rows.weights.tolist()],
        "dead letters": sorted(
            {(dead_letter.value or b"").decode() for dead_letter in dead_letters if dead_letter}
        ),
    }


def debris(folder: Path) -> list[str]:
    """Return what is left that no state should hold after a member has left in order."""
    found = [*folder.rglob(".tmp-*"), *(folder / "members").glob("*.json")]
    return sorted(str(path.relative_to(folder)) for path in found)


def _forked(member: Any) -> int:
    """Do something in a process of its own; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            member()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _serve(begun: Path, work: Path) -> None:
    """Let a member die before each operation of its cycle; tell what is there, then and later.

    Every second death is a power cut.
    """
    torch.set_num_threads(1)  # a process that forks must not have others
    generation, ledger = trained(), work / "ledger.json"
    for before in range(LIMIT):
        disk = work / "disk"
        shutil.rmtree(disk, ignore_errors=True)
        shutil.copytree(begun, disk)

        def dying(disk: Path = disk, before: int = before) -> None:
            Failpoints(disk, before, ledger).arm()
            be_member(disk / "state", generation, num_versions=2, term=2)

        code = _forked(dying)
        if code == KILLED and before % 2:
            cut_power(disk, Ledger(**json.loads(ledger.read_text())))
        durable = ends(disk / "state")

        def successor(disk: Path = disk) -> None:
            be_member(disk / "state", generation, num_versions=1, term=3, size=LENGTH)

        went_on = _forked(successor)
        result = [code, durable, went_on, told(disk / "state"), debris(disk / "state")]
        print(json.dumps(result), flush=True)  # noqa: T201 - our answer
        if code == 0:
            return


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
