"""A state that several processes share: claims, segments, their merge and compaction."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.app.forgetting import forget_sample
from echo_stream.connectors.app.labelling import label_samples
from echo_stream.connectors.group.merge import compact, merge_group, take_group_snapshot
from echo_stream.connectors.group.offset_ranges import ends_of, union
from echo_stream.connectors.group.segment_store import SegmentStore
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.storage.snapshots import find_snapshot, snapshot_manifest
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.errors import FencedError, StateError
from echo_stream.generation.generation import Generation
from echo_stream.run.recording import InlineExecutor, RecordedCheckpoint, Recorder
from echo_stream.run.report import RunStats
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import ArraySource, Skipped
from tests.support.kafka.groups import CONFIG, LENGTH, NAMES, SOURCE, begin, member
from tests.support.same_coreset import assert_nothing_certified_is_wrong, assert_same_sums

KILLED = 9


@pytest.fixture
def members(tmp_path: Path, whole: EchoCoreset) -> Iterator[list[GroupState]]:
    """Open three members of a group over a new state."""
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(member(tmp_path / "state"))) for _ in range(3)]
        begin(opened[0], whole.generation_)
        yield opened


def take(
    state: GroupState, names: list[str], generation: int, *, by_force: bool = False
) -> SegmentStore:
    """Take partitions over."""
    start = dict.fromkeys(names, 0)
    claimed = state.claim(start, group_generation=generation, by_force=by_force)
    assert claimed is not None, "a living member has them"
    return SegmentStore(state, *claimed, group_generation=generation, device="cpu")


class Counting:
    """A member's term, with the engine that has counted in it."""

    def __init__(
        self, term: SegmentStore, partitions: dict[str, Samples], generation: Generation
    ) -> None:
        self.term = term
        self.offsets = dict(term.begins)
        self._partitions = partitions
        self._engine = EchoCoreset.from_config(CONFIG, generation=generation)

    def count(self, name: str, num_samples: int) -> None:
        """Count some more of a partition."""
        begin = self.offsets[name]
        samples = self._partitions[name][begin : begin + num_samples]
        self._engine.update(samples)
        self.offsets[name] = begin + len(samples)

    def publish(self) -> None:
        """Make durable what has been counted."""
        self.term.save_checkpoint(self._engine, self.offsets, SOURCE, Skipped(1, 2, 3))


@pytest.mark.slow
def test_who_begins_forgets_the_dead(members: list[GroupState], whole: EchoCoreset) -> None:
    """What a killed member has said of itself goes, and nothing of those who live."""
    state = members[0].folder
    code = f"""
        import os
        from pathlib import Path
        from tests.support.kafka.groups import member
        one = member(Path({str(state)!r}))
        one.status_file.write_text("{{}}")
        os.kill(os.getpid(), {KILLED})
    """
    died = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert died.returncode == -KILLED
    for each in members:
        each.status_file.write_text("{}")
    assert len(list((state / "members").iterdir())) == 2 * (len(members) + 1)
    begin(members[1], whole.generation_)
    assert len(list((state / "members").iterdir())) == 2 * len(members)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_members_that_come_and_go_count_everything_once(
    seed: int,
    members: list[GroupState],
    partitions: dict[str, Samples],
    whole: EchoCoreset,
) -> None:
    """Takeovers, lost work, zombies and compactions in any order: the same as one engine."""
    rng = np.random.default_rng(seed)
    all_of_them = Samples.concatenate(list(partitions.values()))
    running: list[Counting] = []
    for generation in range(1, 200):
        if all(end == LENGTH for end in members[0].ends().values()):
            break
        state = members[rng.integers(3)]
        names = sorted(rng.choice(NAMES, rng.integers(1, 5), replace=False).tolist())
        term = take(state, names, generation, by_force=True)
        running.append(Counting(term, partitions, whole.generation_))
        for one in rng.permutation(np.array(running, dtype=object))[:3]:
            one.count(str(rng.choice(list(one.offsets))), int(rng.integers(1, 700)))
            try:
                one.publish()
            except FencedError:
                running.remove(one)
        if rng.random() < 0.3:
            compact(state, CONFIG, device="cpu", above=int(rng.integers(1, 4)))
    merged = merge_group(members[1], CONFIG, device="cpu")
    assert merged.offsets == dict.fromkeys(NAMES, LENGTH)
    assert merged.engine is not None
    as_merged = merged.engine.snapshot()
    merged.engine.repair(ArraySource(all_of_them))
    expected = EchoCoreset.from_config(CONFIG, generation=whole.generation_)
    expected.update(all_of_them)
    expected.repair(ArraySource(all_of_them))
    assert_same_sums(as_merged, expected.snapshot())
    assert_nothing_certified_is_wrong(as_merged, expected.snapshot())
    ours, right = merged.engine.snapshot().rows, expected.snapshot().rows
    assert ours.samples.ids.tolist() == right.samples.ids.tolist()
    assert ours.weights.tolist() == right.weights.tolist()


def test_a_member_whose_partitions_were_taken_over_publishes_nothing(
    members: list[GroupState], partitions: dict[str, Samples], whole: EchoCoreset
) -> None:
    """The late publication is refused, names who has the partition, and leaves no trace."""
    zombie = Counting(take(members[0], NAMES[:2], 1), partitions, whole.generation_)
    zombie.count(NAMES[0], 100)
    zombie.publish()
    zombie.count(NAMES[0], 50)
    zombie.count(NAMES[1], 50)
    successor = take(members[1], [NAMES[0]], 2, by_force=True)
    assert successor.begins == {NAMES[0]: 100}
    before = members[1].current()
    with pytest.raises(FencedError, match=f"events/0 has been taken over by {members[1].member}"):
        zombie.publish()
    assert members[1].current() == before
    assert members[1].ends() == {**dict.fromkeys(NAMES, 0), NAMES[0]: 100}


def test_a_takeover_waits_for_the_living_and_not_for_the_dead(
    members: list[GroupState], partitions: dict[str, Samples], whole: EchoCoreset
) -> None:
    """A holder hands over, is forced to, or is dead; one assigned later keeps what it has."""
    first, second, third = members
    start = dict.fromkeys(NAMES, 0)
    counting = Counting(take(first, NAMES, 5), partitions, whole.generation_)
    assert second.claim(start, group_generation=6) is None
    with pytest.raises(FencedError, match="assignment 5 after 4"):
        second.claim(start, group_generation=4, by_force=True)
    counting.count(NAMES[2], 10)
    counting.publish()
    counting.term.end()
    handed_over = second.claim(start, group_generation=6)
    assert handed_over is not None
    assert handed_over[1][NAMES[2]] == 10
    second.close()  # as a process that has died: its lock is free
    assert third.claim(start, group_generation=1) is not None


def test_the_first_member_decides_where_all_partitions_start(
    members: list[GroupState], whole: EchoCoreset
) -> None:
    """Later members get the recorded start; a new partition starts where it is first seen."""
    assert begin(members[1], whole.generation_, first=70) == dict.fromkeys(NAMES, 0)
    claimed = members[1].claim({"events/4": 7}, group_generation=1)
    assert claimed is not None
    assert claimed[1] == {"events/4": 7}
    assert members[2].record().start == {**dict.fromkeys(NAMES, 0), "events/4": 7}


def test_one_generation_is_for_all(members: list[GroupState], whole: EchoCoreset) -> None:
    """A second generation is refused, with the option to leave out."""
    other = EchoCoreset.from_config(replace(CONFIG, seed=4)).fit(np.eye(6, dtype=np.float32))
    with pytest.raises(FencedError, match="leave generation out"):
        members[1].settle_generation(other.generation_)
    found = members[1].generation(None)
    assert found is not None
    assert found.id == whole.generation_.id


def test_ranges_must_be_disjoint_and_without_a_gap() -> None:
    """An overlap, a gap, a wrong start and an unknown partition are refused, with offsets."""
    start = {"events/0": 3}
    assert ends_of(union([{"events/0": [(3, 5)]}, {"events/0": [(5, 9)]}]), start) == {
        "events/0": 9
    }
    with pytest.raises(StateError, match="offsets 4 to 5 of events/0 are counted twice"):
        union([{"events/0": [(3, 5)]}, {"events/0": [(4, 9)]}])
    with pytest.raises(StateError, match="offsets 5 to 7 of events/0 are not counted"):
        ends_of({"events/0": [(3, 5), (7, 8)]}, start)
    with pytest.raises(StateError, match="from offset 4 on, but its start is 3"):
        ends_of({"events/0": [(4, 5)]}, start)
    with pytest.raises(StateError, match="events/1 has been counted"):
        ends_of({"events/1": [(0, 5)]}, start)


def test_a_lost_segment_is_noticed(
    members: list[GroupState], partitions: dict[str, Samples], whole: EchoCoreset
) -> None:
    """A segment that is damaged whole is refused; one that fell back must leave no gap."""
    first = Counting(take(members[0], [NAMES[0]], 1), partitions, whole.generation_)
    for _ in range(2):
        first.count(NAMES[0], 20)
        first.publish()
    newest = members[1].current()[0].unit
    (newest / "sketch.safetensors").write_bytes(b"")
    with closing(member(members[0].folder)) as fresh:
        assert fresh.ends()[NAMES[0]] == 20
    second = Counting(take(members[1], [NAMES[0]], 2, by_force=True), partitions, whole.generation_)
    assert second.offsets[NAMES[0]] == 40  # who has seen the version whole goes on from it
    second.count(NAMES[0], 5)
    second.publish()
    with (
        closing(member(members[0].folder)) as fresh,
        pytest.raises(StateError, match="offsets 20 to 40 of events/0 are not counted"),
    ):
        merge_group(fresh, CONFIG, device="cpu")


def test_a_state_belongs_to_one_group_or_to_a_run_without_one(tmp_path: Path) -> None:
    """A plain run, another group and a forgetting are refused, and a group on a plain state."""
    shared, plain = tmp_path / "shared", tmp_path / "plain"
    with closing(member(shared)) as state:
        begin(state, None)
        with pytest.raises(StateError, match="in use by another process"):
            GroupState(shared, "counters", exclusive=True)
    with pytest.raises(StateError, match="shared by group counters; set group to counters"):
        StateStore(shared)
    with pytest.raises(StateError, match="shared by group counters; set group to counters"):
        GroupState(shared, "others")
    with StateStore(plain) as store:
        store.save_checkpoint(EchoCoreset(), {}, {})
        with pytest.raises(StateError, match="in use by another process"):
            member(plain)
    with pytest.raises(StateError, match="begun without group"):
        member(plain)


def test_other_settings_are_refused(members: list[GroupState]) -> None:
    """A member with another budget is told what differs."""
    with pytest.raises(StateError, match="budget is 30 there, 31 here"):
        members[1].begin(replace(CONFIG, budget=31), SOURCE, dict, None)


def test_forgetting_takes_a_sample_out_of_its_segment(
    members: list[GroupState], partitions: dict[str, Samples], whole: EchoCoreset
) -> None:
    """The sample leaves the counts, no segment has it any more, and a miss counts once."""
    for number, name in enumerate(NAMES[:2]):
        counting = Counting(take(members[number], [name], 1), partitions, whole.generation_)
        counting.count(name, 20)
        counting.publish()
    for each in members:
        each.close()
    state = members[0].folder
    held, missed = f"{NAMES[1]}-3", "nobody"
    report = forget_sample(state, held, device="cpu")
    assert (report.removed, report.n) == (1, 39)
    assert report.checkpoints == []
    assert forget_sample(state, missed, device="cpu").removed == 0
    with closing(member(state)) as again:
        snapshot = take_group_snapshot(again, CONFIG, device="cpu")
        assert snapshot is not None
        manifest = snapshot_manifest(find_snapshot(state, snapshot.id))
    assert [manifest[key] for key in ("n", "num_forgotten", "num_forget_missed")] == [39, 1, 1]
    assert manifest["offsets"] == {**dict.fromkeys(NAMES, 0), NAMES[0]: 20, NAMES[1]: 20}


def test_labels_reach_the_segments_that_hold_their_samples(
    members: list[GroupState], partitions: dict[str, Samples], whole: EchoCoreset, tmp_path: Path
) -> None:
    """In any of them, the first included; a label that none holds a sample for is missed once."""
    for number, name in enumerate(NAMES[:2]):
        counting = Counting(take(members[number], [name], 1), partitions, whole.generation_)
        counting.count(name, 10)
        counting.publish()
    for each in members:
        each.close()
    file = tmp_path / "labels.csv"
    names = [f"{NAMES[0]}-3", f"{NAMES[1]}-3"]
    file.write_text(f"id,label\n{names[0]},1\n{names[1]},2\nnobody,3\n", encoding="utf-8")
    report = label_samples(members[0].folder, file, device="cpu")
    assert (report.num_labelled, report.num_label_missed, report.n) == (2, 1, 20)
    with closing(member(members[0].folder)) as again:
        snapshot = take_group_snapshot(again, CONFIG, device="cpu")
    assert snapshot is not None
    assert [snapshot.manifest[key] for key in ("num_labelled", "num_label_missed")] == [2, 1]
    labels = snapshot.rows.samples.labels
    assert labels is not None
    found = dict(zip(snapshot.rows.samples.ids, labels, strict=True))
    assert {name: label for name, label in found.items() if label} == {names[0]: 1, names[1]: 2}


# Compacts in child processes, of which each dies before another operation on the file
# system; prints what the state says after each death.
DYING_COMPACTORS = f"""
import json, os, sys
from contextlib import closing
from pathlib import Path
import torch
from echo_stream.connectors.group.merge import compact, merge_group
from echo_stream.connectors.group.state import GroupState

torch.set_num_threads(1)  # a process that forks must not have others
folder = Path(sys.argv[1])

def shrink(left):
    def die(event, _):
        nonlocal left
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
            left -= 1
            if left < 0:
                os._exit({KILLED})

    with closing(GroupState(folder, "counters")) as state:
        config = state.record().config
        sys.addaudithook(die)
        compact(state, config, device="cpu", above=1)

for moment in range(500):
    child = os.fork()
    if child == 0:
        try:
            shrink(moment)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with closing(GroupState(folder, "counters")) as state:
        merged = merge_group(state, state.record().config, device="cpu")
        segments, skipped = len(state.current()), list(merged.skipped)
        print(json.dumps([code, merged.engine.n_seen_, segments, skipped]))
    if code == 0:
        break
"""


@pytest.mark.slow
def test_a_compaction_that_dies_anywhere_loses_nothing(
    members: list[GroupState], partitions: dict[str, Samples], whole: EchoCoreset
) -> None:
    """Whatever the last file operation was, the merge is the same, and the next one goes on."""
    for number, name in enumerate(NAMES[:3]):
        counting = Counting(take(members[number], [name], 1), partitions, whole.generation_)
        counting.count(name, 20)
        counting.publish()
        counting.term.end()
    state = members[0].folder
    for each in members:
        each.close()
    command = [sys.executable, "-c", DYING_COMPACTORS, str(state)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    deaths = [json.loads(line) for line in output.splitlines()]
    assert deaths[-1] == [0, 60, 1, [3, 6, 9]]
    assert {code for code, *_ in deaths[:-1]} == {KILLED}
    assert [
        rest for _, *rest in deaths if rest not in ([60, 3, [3, 6, 9]], [60, 1, [3, 6, 9]])
    ] == []
    assert len(list((state / "segments").iterdir())) == 1


def test_a_warm_up_is_no_checkpoint(tmp_path: Path, partitions: dict[str, Samples]) -> None:
    """It is not durable: nothing is told of it, nor committed, until there is a segment."""
    committed: list[Mapping[str, int]] = []

    class Remembering(ArraySource):
        def commit(self, offsets: Mapping[str, int]) -> None:
            committed.append(offsets)

        def offsets(self) -> dict[str, int]:
            return {NAMES[0]: 10}

    with closing(member(tmp_path / "state")) as state:
        begin(state, None)
        term = take(state, NAMES[:1], 1)
        stats = RunStats()
        recorder = Recorder(
            Remembering(partitions[NAMES[0]][:10]), term, Unread(),
            executor=InlineExecutor(), clock=lambda: 0.0, stats=stats,
        )  # fmt: skip
        engine = EchoCoreset.from_config(CONFIG)
        engine.update(partitions[NAMES[0]][:10])
        recorder.begin(engine, Skipped(), wants_snapshot=False, wants_training=False)
        assert (recorder.collect(), committed, state.current()) == ([], [], [])
        assert not recorder.is_checkpointing
        engine.end_warmup()
        recorder.begin(engine, Skipped(), wants_snapshot=False, wants_training=False)
        (found,) = recorder.collect()
        assert isinstance(found, RecordedCheckpoint)
        assert found.offsets == {NAMES[0]: 10}
        assert committed == [{NAMES[0]: 10}]
        assert [segment.n for segment in state.current()] == [10]


class Unread:
    """Dead letters that nobody reads."""

    def write(self, rejected: object) -> None:
        """Let go of messages."""

    def flush(self) -> None:
        """Do nothing."""
