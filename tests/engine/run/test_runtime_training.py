"""The consumer's loop beside training: of models, and of its own generation."""

import pytest

from echo_stream import EchoCoreset, EngineConfig
from echo_stream.errors import SourceError
from echo_stream.run.config import RunConfig
from echo_stream.run.runtime import Environment, Run
from echo_stream.run.schedule import Every
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.runtime_rig import (
    CAP,
    NEVER,
    WARMUP,
    Clock,
    Coach,
    CrashError,
    Diary,
    Ear,
    Memory,
    N,
    Tape,
    n_of,
    points,
    rig,
    settled,
    warming,
)
from tests.support.same_coreset import comparable


def test_training_on_the_snapshot_just_written() -> None:
    """Due trainings bring their own snapshots, and start after these are durable."""
    diary = Diary()
    coach = Coach(diary)
    trained = rig(RunConfig(retrain_every=Every(samples=40)), diary=diary, coach=coach)
    report = trained.run.run()
    assert coach.started == report.snapshots[:2]
    assert trained.counts == [40, 80, N]
    assert diary.entries[:5] == ["flush", "checkpoint 40", "commit", "snapshot 40", "train 40"]
    assert report.retrainings == 2
    assert coach.polls == len(trained.source.asked)


def test_training_that_is_due_waits_for_the_one_under_way() -> None:
    """It begins when that has ended, the last one too; of several that wait, the newest."""
    diary = Diary()
    coach = Coach(diary, busy_for=5)
    busy = rig(RunConfig(retrain_every=Every(samples=20)), diary=diary, coach=coach)
    report = busy.run.run()
    assert [n_of(name) for name in coach.started] == [20, 40, 80, 100]
    assert {n_of(name) for name in coach.refused} == {40, 60, 80, 100}
    assert report.retrainings == 4


def test_training_that_waits_is_dropped_by_a_stop() -> None:
    """Nobody has asked for it in time."""
    coach, ear = Coach(Diary(), busy_for=50), Ear(at=7)
    config = RunConfig(retrain_every=Every(samples=20))
    stopped = rig(config, coach=coach, ear=ear)
    ear.do = stopped.run.stop
    assert stopped.run.run().retrainings == 1


def test_training_waits_for_the_warmup() -> None:
    """There is nothing to train on before."""
    diary = Diary()
    coach = Coach(diary)
    config = RunConfig(retrain_every=Every(samples=30))
    report = rig(config, engine=warming(), diary=diary, coach=coach).run.run()
    assert [n_of(name) for name in coach.started] == [60, 90]
    assert report.retrainings == 2


def test_training_without_a_trainer() -> None:
    """An interval alone starts nothing, but its snapshots are taken."""
    lonely = rig(RunConfig(retrain_every=Every(samples=40)))
    assert lonely.run.run().retrainings == 0
    assert lonely.counts == [40, 80, N]


def test_last_training_may_finish() -> None:
    """A run that has come to its end waits for it, unless a stop is asked for meanwhile."""
    coach = Coach(Diary())
    ended = rig(coach=coach)
    coach.while_waiting = ended.run.stop
    ended.run.run()
    assert coach.may_wait == [True, False]


@pytest.mark.parametrize("error", [SourceError("gone"), CrashError()])
def test_last_training_is_ended_after_an_error(error: Exception) -> None:
    """A run that has failed does not wait."""
    coach = Coach(Diary())
    with pytest.raises(type(error)):
        rig(coach=coach, fails_at=2, error=error).run.run()
    assert coach.may_wait == [False, False]


def test_last_training_is_ended_after_a_stop() -> None:
    """Nor does one that was told to stop."""
    coach, ear = Coach(Diary()), Ear(at=2)
    stopped = rig(coach=coach, ear=ear)
    ear.do = stopped.run.stop
    stopped.run.run()
    assert coach.may_wait == [False, False]


def test_observer_hears_every_batch() -> None:
    """With the report as it stands."""
    heard = rig(engine=settled(10), offsets={"row": 10})
    report = heard.run.run()
    assert heard.ear.heard == [*range(17, N, CAP), N]
    assert (report.n, report.samples, report.rejected) == (N, N - 10, 0)


@pytest.mark.parametrize("warmup", [WARMUP, 1_000])
def test_observer_hears_the_epochs(warmup: int) -> None:
    """Whether the warm-up ends by itself or with the input."""
    heard = rig(engine=EchoCoreset(6, preset="paper", warmup=warmup, epochs=2, device="cpu"))
    heard.run.run()
    assert heard.ear.epochs == [(1, 2), (2, 2)]


def test_nobody_need_watch() -> None:
    """Observer and trainer may be left out."""
    diary = Diary()
    memory = Memory(diary)
    source = Tape(diary, Clock())
    run = Run(source, warming(), memory, memory, NEVER, Environment(Clock()))
    assert run.run().n == N


class StopAtEpoch(Ear):
    """Asks a run to stop in the middle of its generation's training."""

    run: Run

    def epoch(self, done: int, total: int) -> None:
        """Ask at the second of five."""
        super().epoch(done, total)
        if done == 2:
            self.run.stop()


@pytest.mark.parametrize(("warmup", "held_back"), [(40, 40), (500, N)])
def test_stop_during_training_loses_nothing(warmup: int, held_back: int) -> None:
    """Stopped while the generation is trained, by a full warm-up or at the end of input."""
    config = EngineConfig(budget=6, preset="paper", epochs=5, warmup=warmup)

    def run_over(engine: EchoCoreset, row: int, memory: Memory, observer: Ear) -> Run:
        source = ArraySource(as_samples(points()))
        source.seek({"row": row})
        return Run(source, engine, memory, memory, NEVER, Environment(Clock(), observer=observer))

    whole, memory, ear = Memory(Diary()), Memory(Diary()), StopAtEpoch()
    run_over(EchoCoreset.from_config(config, device="cpu"), 0, whole, Ear()).run()
    ear.run = run_over(EchoCoreset.from_config(config, device="cpu"), 0, memory, ear)
    report = ear.run.run()
    assert report.training_abandoned
    assert (report.n, report.snapshots) == (held_back, [])

    engine, offsets = memory.restored()
    assert run_over(engine, offsets["row"], memory, Ear()).run().n == N
    assert comparable(memory.restored()[0]) == comparable(whole.restored()[0])
