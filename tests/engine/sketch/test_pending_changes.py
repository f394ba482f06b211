"""Late labels and requests to forget that are in another engine's part of a stream."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest

from echo_stream import EchoCoreset, EngineConfig
from echo_stream._common.typing import Label
from echo_stream.generation.generation import Generation
from echo_stream.samples import label_log
from echo_stream.samples.changes import Change, Forget, LateLabel
from echo_stream.samples.samples import Origin, Samples, as_objects
from tests.support.inside import sketch_of
from tests.support.same_coreset import assert_same_sums

CONFIG = EngineConfig(budget=20, preset="paper", support=1, epochs=0)
LENGTH = 400  # of a partition
COUNTS = ("n", "num_labelled", "num_label_missed", "num_forgotten", "num_forget_missed")


def origin(partition: int, offset: int, *, seconds: int | None = None) -> Origin:
    """Return a place; where no time is given, one that grows with the offset."""
    return Origin("events", partition, offset, 1_000 * (offset if seconds is None else seconds))


@pytest.fixture(scope="module")
def parts() -> list[Samples]:
    """Return the samples of three partitions, named by partition and offset."""
    rng = np.random.default_rng(2)
    return [
        Samples(
            x=rng.normal(size=(LENGTH, 3)).astype(np.float32),
            ids=as_objects([f"{partition}-{offset}" for offset in range(LENGTH)]),
            labels=as_objects([0] * LENGTH),
            origins=as_objects([origin(partition, offset) for offset in range(LENGTH)]),
        )
        for partition in range(3)
    ]


@pytest.fixture(scope="module")
def generation(parts: list[Samples]) -> Generation:
    """Return a trained generation."""
    return EchoCoreset.from_config(CONFIG).fit_source(Samples.concatenate(parts)).generation_


def counted(
    generation: Generation,
    samples: Samples,
    changes: Sequence[Change] = (),
    config: EngineConfig = CONFIG,
) -> EchoCoreset:
    """Return an engine that has counted samples, and then seen changes."""
    engine = EchoCoreset.from_config(config, generation=generation)
    engine.update(samples)
    for change in changes:
        engine.change(change)
    return engine


def merged(engines: Sequence[EchoCoreset]) -> EchoCoreset:
    """Return the merge of engines, each of which has been stored and read again."""
    first, *others = [EchoCoreset.from_state(engine.to_state()) for engine in engines]
    for other in others:
        first.merge(other)
    return first


def held_labels(engine: EchoCoreset) -> dict[str, Label]:
    """Return the labels of all that is held, by id."""
    members = sketch_of(engine.copy()).flushed().members()
    return {member.id: member.label for member in members}


def counts(engine: EchoCoreset) -> dict[str, int]:
    """Return N, and the counts of changes, of a snapshot's manifest."""
    manifest = engine.snapshot().manifest
    return {name: manifest[name] for name in COUNTS}


def held_in(engine: EchoCoreset, number: int) -> list[str]:
    """Return the first samples of a snapshot."""
    return list(dict.fromkeys(engine.coreset().ids.tolist()))[:number]


def test_changes_reach_samples_of_other_parts_whatever_the_order_of_merging(
    parts: list[Samples], generation: Generation
) -> None:
    """The same sums, labels and counts as in one engine that has seen all of it."""
    alone = counted(generation, Samples.concatenate(parts))
    gone, named, *_ = held_in(alone, 2)
    changes: list[Change] = [
        Forget(gone, origin=origin(1, LENGTH)),
        LateLabel(named, "late", origin=origin(2, LENGTH)),
        LateLabel("nobody", "late", origin=origin(2, LENGTH + 1)),
        Forget("no one", origin=origin(2, LENGTH + 2)),
    ]
    for change in changes:
        alone.change(change)
    engines = [
        counted(generation, parts[0]),
        counted(generation, parts[1], changes[:1]),
        counted(generation, parts[2], changes[1:]),
    ]
    for order in permutations(range(3)):
        whole = merged([engines[number] for number in order])
        assert_same_sums(whole.snapshot(), alone.snapshot())
        assert counts(whole) == counts(alone)
        labels = held_labels(whole)
        assert labels[named] == "late"
        assert gone not in labels


def test_what_comes_later_in_the_same_log_is_not_meant(
    parts: list[Samples], generation: Generation
) -> None:
    """A sample is sent again after a tombstone and a label of its id: it stays as it came."""
    gone, named, *_ = held_in(counted(generation, parts[0]), 2)
    again = Samples(
        x=parts[1].x[:2],
        ids=as_objects([gone, named]),
        labels=as_objects([7, 7]),
        origins=as_objects([origin(0, LENGTH + 2), origin(0, LENGTH + 3)]),
    )
    changes: list[Change] = [
        Forget(gone, origin=origin(0, LENGTH)),
        LateLabel(named, 5, origin=origin(0, LENGTH + 1)),
    ]
    alone = counted(generation, parts[0], changes)
    alone.update(again)
    second = EchoCoreset.from_config(CONFIG, generation=generation)
    for change in changes:
        second.change(change)
    second.update(again)
    for order in ([counted(generation, parts[0]), second], [second, counted(generation, parts[0])]):
        whole = merged(order)
        assert_same_sums(whole.snapshot(), alone.snapshot())
        assert counts(whole) == counts(alone)
        assert held_labels(whole)[gone] == 7
        found = {m.origin: m.label for m in sketch_of(whole).members()
                 if m.id == named and m.origin is not None}  # fmt: skip
        assert {place.offset: label for place, label in found.items()} == {
            int(named.split("-")[1]): 5, LENGTH + 3: 7,
        }  # fmt: skip


def test_the_last_label_counts(parts: list[Samples], generation: Generation) -> None:
    """By offset in one log, else by time: not the larger one, and not the one of the holder."""
    name = held_in(counted(generation, parts[0]), 1)[0]
    early, late = origin(1, 1, seconds=50), origin(2, 1, seconds=60)
    own = origin(0, LENGTH, seconds=55)
    engines = [
        counted(generation, parts[0], [LateLabel(name, 8, origin=own)]),
        counted(generation, parts[1], [LateLabel(name, 9, origin=early)]),
        counted(generation, parts[2], [LateLabel(name, 1, origin=late)]),
    ]
    for order in permutations(engines):
        whole = merged(order)
        assert held_labels(whole)[name] == 1
        assert counts(whole)["num_labelled"] == 3
    whole = merged(engines[:2])
    assert held_labels(whole)[name] == 8
    whole.label(name, 4)  # by hand, after all of them
    assert held_labels(merged([whole, engines[1]]))[name] == 9  # whose label it has not seen
    third = merged([*engines[:2], counted(generation, parts[2])])
    third.label(name, 4)
    assert held_labels(merged([third, counted(generation, parts[2])]))[name] == 4


def test_changes_reach_what_is_held_out(parts: list[Samples], generation: Generation) -> None:
    """Samples to test on are labelled and forgotten across parts, too."""
    config = EngineConfig(budget=20, preset="paper", support=1, epochs=0, holdout=0.2)
    left = counted(generation, parts[0], config=config)
    held_out = left.snapshot().held_out
    assert held_out is not None
    gone, named = held_out.ids.tolist()[:2]
    changes: list[Change] = [
        Forget(gone, origin=origin(1, LENGTH)),
        LateLabel(named, 5, origin=origin(1, LENGTH + 1)),
    ]
    right = counted(generation, parts[1], changes, config=config)
    for order in ([left, right], [right, left]):
        whole = merged(order)
        rest = whole.snapshot().held_out
        assert rest is not None
        assert rest.labels is not None
        labels = dict(zip(rest.ids.tolist(), rest.labels.tolist(), strict=True))
        assert gone not in labels
        assert labels[named] == 5
        assert (counts(whole)["num_labelled"], counts(whole)["num_label_missed"]) == (1, 0)


def test_labels_of_others_are_bounded(
    parts: list[Samples], generation: Generation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of too many that met no sample the newest are kept; the counts know all of them."""
    monkeypatch.setattr(label_log, "KEPT_LABELS", 10)
    monkeypatch.setattr(label_log, "MOST_LABELS", 15)
    names = held_in(counted(generation, parts[0]), 20)
    many = [LateLabel(f"none-{offset}", 1, origin=origin(1, offset)) for offset in range(100)]
    first, last = (
        LateLabel(names[0], 5, origin=origin(1, 0)),
        LateLabel(names[1], 5, origin=origin(1, 200)),
    )
    right = counted(generation, parts[1], [first, *many, last])
    assert len(sketch_of(right).changes.label_log) <= 15
    whole = merged([counted(generation, parts[0]), right])
    labels = held_labels(whole)
    assert (labels[names[0]], labels[names[1]]) == (0, 5)
    assert (counts(whole)["num_labelled"], counts(whole)["num_label_missed"]) == (1, 101)
