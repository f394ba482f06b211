"""Late labels, forgotten ids and replaced samples in a stream that a run consumes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset, Snapshot
from echo_stream.run.config import RunConfig
from echo_stream.run.report import CHANGE_COUNTS, RunReport
from echo_stream.run.runtime import Environment, Run
from echo_stream.run.schedule import Every
from echo_stream.samples.changes import Change, Forget, LateLabel, in_order
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import ArraySource, Batch, Skipped
from echo_stream.samples.validation import as_samples
from tests.support.runtime_rig import CONFIG, GENERATION, Diary, Memory, N, points
from tests.support.same_coreset import comparable


def events() -> list[int | Change]:
    """Return rows of the points, and changes between them; ids come again after 60 rows."""
    stream: list[int | Change] = []
    for row in range(N):
        stream.append(row)
        if row % 3 == 0:
            stream.append(LateLabel(f"key-{(row * 7) % 60}", f"late {row}"))
        if row % 20 == 10:
            stream += [Forget(f"key-{row % 60}"), LateLabel(f"key-{row % 60}", "too late")]
        if row % 50 == 24:
            stream.append(Forget("never seen"))
    return stream


def samples() -> Samples:
    """Return the points with ids that come again, and labels."""
    return as_samples(
        points(), [f"sent {row}" for row in range(N)], [f"key-{row % 60}" for row in range(N)]
    )


class Log(ArraySource):
    """Samples and changes in one order, handed out so many at a time."""

    def __init__(self, size: int, stop: int | None = None) -> None:
        super().__init__(samples())
        self._log, self._at, self._size = events()[:stop], 0, size

    @property
    def is_exhausted(self) -> bool:
        """Return whether all has been handed out."""
        return self._at >= len(self._log)

    def next_batch(self, max_samples: int) -> Batch:
        """Return the next samples, with the changes before and between them."""
        rows: list[int] = []
        changes: list[Change] = []
        for event in self._log[self._at : self._at + self._size]:
            if len(rows) == max_samples:
                break
            if isinstance(event, int):
                rows.append(event)
            else:
                changes.append(event._replace(place=len(rows)))
            self._at += 1
        found = self._samples[np.array(rows, dtype=int)] if rows else None
        return Batch(found, (), Skipped(tombstones=1), len(rows) + len(changes), changes)

    def offsets(self) -> dict[str, int]:
        """Return the number of the next event."""
        return {"row": self._at}

    def seek(self, offsets: Mapping[str, int]) -> Skipped:
        """Go on with an event."""
        self._at = offsets["row"]
        return Skipped()


def engine_of(on_duplicate: str, *, is_warming: bool) -> EchoCoreset:
    """Return an engine that has counted nothing."""
    chosen: dict[str, Any] = {**CONFIG.to_json(), "on_duplicate": on_duplicate}
    return EchoCoreset(**chosen, generation=None if is_warming else GENERATION, device="cpu")


def consume(engine: EchoCoreset, size: int, config: RunConfig) -> tuple[RunReport, Memory]:
    """Let an engine consume the log; return the report, and what was written."""
    memory = _Kept(Diary())
    run = Run(Log(size), engine, memory, memory, config, Environment(lambda: 0.0))
    return run.run(), memory


class _Kept(Memory):
    """A memory of which snapshots may be of any offsets."""

    def take_snapshot(self, engine: EchoCoreset, _: Mapping[str, int]) -> Snapshot:
        """Keep the snapshot."""
        snapshot = engine.snapshot()
        self.snapshots[snapshot.id] = snapshot
        return snapshot


def in_turn(on_duplicate: str, *, is_warming: bool) -> EchoCoreset:
    """Return an engine that was told of one event after another."""
    engine, known = engine_of(on_duplicate, is_warming=is_warming), samples()
    for event in events():
        if isinstance(event, int):
            engine.update(known[event : event + 1])
        elif isinstance(event, LateLabel):
            engine.label(event.id, event.label)
        else:
            engine.forget(event.id)
    engine.end_warmup()
    return engine


@pytest.mark.parametrize("on_duplicate", ["count", "replace"])
@pytest.mark.parametrize("is_warming", [False, True])
def test_the_order_of_the_stream_counts_and_not_its_batches(
    on_duplicate: str, is_warming: bool
) -> None:
    """The same state, and the same counts, from one event at a time to all at once."""
    expected = in_turn(on_duplicate, is_warming=is_warming)
    manifest = expected.snapshot().manifest
    for size in (1, 3, 50, 1_000):
        engine = engine_of(on_duplicate, is_warming=is_warming)
        report, memory = consume(engine, size, RunConfig(checkpoint_every=Every(samples=13)))
        assert comparable(engine) == comparable(expected)
        assert report.change_counts == {name: manifest[name] for name in CHANGE_COUNTS}
        assert (report.n, report.num_arrived, report.samples) == (manifest["n"], N, N)
        assert memory.skipped[-1].tombstones == report.tombstones > 0
    assert manifest["num_labelled"] > 0 < manifest["num_label_missed"]
    assert (manifest["num_forget_missed"], manifest["num_forgotten"] > 0) == (1, True)
    assert (manifest["num_replaced"] > 0) == (on_duplicate == "replace")


def test_checkpoints_come_with_samples_that_arrive_though_n_stands_still() -> None:
    """What replaces others is work too: nothing waits for an N that does not grow."""
    engine = engine_of("replace", is_warming=False)
    report, memory = consume(engine, 5, RunConfig(checkpoint_every=Every(samples=10)))
    assert report.n < 70
    assert len(memory.checkpoints) == N // 10 + 1


@pytest.mark.parametrize("stop", range(0, 150, 29))
def test_a_run_goes_on_from_any_event(stop: int) -> None:
    """From the checkpoint, wherever it lies between samples and changes."""
    expected = in_turn("replace", is_warming=False)
    engine, log = engine_of("replace", is_warming=False), Log(1_000, stop)
    memory = _Kept(Diary())
    Run(log, engine, memory, memory, RunConfig(), Environment(lambda: 0.0)).run()
    again, offsets = memory.restored()
    rest = Log(7)
    rest.seek(offsets)
    Run(rest, again, memory, memory, RunConfig(), Environment(lambda: 0.0)).run()
    assert comparable(again) == comparable(expected)


def test_changes_lie_between_the_samples_before_and_after_them() -> None:
    """At the beginning, together, at the end, and where there are no samples at all."""
    changes: list[Change] = [Forget("a", 0), Forget("b", 2), LateLabel("c", 1, 2), Forget("d", 5)]
    found = [len(p) if isinstance(p, Samples) else p.id for p in in_order(samples()[:5], changes)]
    assert found == ["a", 2, "b", "c", 3, "d"]
    assert list(in_order(None, changes[:1])) == changes[:1]
