"""Trainings that no interval asks for, in the consumer's loop."""

import pytest

from echo_stream import EchoCoreset
from echo_stream.errors import ConfigError
from echo_stream.run.config import RunConfig
from echo_stream.run.retraining import Retraining, RetrainTrigger
from echo_stream.run.runtime import Environment, Run
from echo_stream.run.schedule import Every
from echo_stream.samples.samples import Samples
from tests.support.runtime_rig import Clock, Coach, Diary, Memory, N, Tape, n_of, settled


class Alarm:
    """An examiner that reports drift when it sees a certain sample."""

    def __init__(self, *alarming: str) -> None:
        self.seen: list[str] = []
        self._alarming = alarming

    def examine(self, engine: EchoCoreset, samples: Samples) -> bool:
        """Look at samples that are not counted yet."""
        names = [str(name) for name in samples.ids]
        assert not any(engine.holds(name) for name in names)
        self.seen += names
        return any(name in self._alarming for name in names)


def trained(config: RunConfig, trigger: RetrainTrigger, examiner: Alarm | None = None) -> list[int]:
    """Run over all points, a second each batch of seven; return N of what was trained on."""
    diary, clock = Diary(), Clock()
    memory, coach = Memory(diary), Coach(diary)
    run = Run(
        Tape(diary, clock), settled(), memory, memory, config, Environment(clock),
        retraining=Retraining(coach, examiner, trigger),
    )  # fmt: skip
    run.run()
    return [n_of(name) for name in coach.started]


def test_drift_brings_a_snapshot_and_a_training() -> None:
    """At the end of the batch that shows it, after the sample was looked at."""
    alarm = Alarm("30")
    assert trained(RunConfig(), RetrainTrigger(), examiner=alarm) == [35]
    assert alarm.seen == [str(row) for row in range(N)]


def test_drift_is_debounced() -> None:
    """The first alarm decides when; those that come meanwhile are answered by it."""
    assert trained(
        RunConfig(), RetrainTrigger(debounce_s=3.0), examiner=Alarm("0", "10", "20")
    ) == [28]


def test_an_interval_answers_what_waits() -> None:
    """A training that begins anyway is the one that was asked for."""
    config = RunConfig(retrain_every=Every(samples=40))
    found = trained(config, RetrainTrigger(debounce_s=5.0), examiner=Alarm("21"))
    assert found == [40, 80]


def test_training_that_waits_at_the_end_is_of_the_last_snapshot() -> None:
    """Nothing comes any more that it could wait for."""
    assert trained(RunConfig(), RetrainTrigger(debounce_s=900.0), examiner=Alarm("60")) == [N]


@pytest.mark.parametrize(
    ("turnover", "expected"), [(None, []), (1.0, [10]), (0.01, [10, 20, 30, 40, 50])]
)
def test_turnover(turnover: float | None, expected: list[int]) -> None:
    """Looked at with each snapshot; the first one is all new."""
    config = RunConfig(snapshot_every=Every(samples=10))
    found = trained(config, RetrainTrigger(turnover))
    assert found[: len(expected)] == expected
    assert (turnover == 0.01) == (len(found) > 1)


def test_turnover_is_since_the_last_training() -> None:
    """A restart does not train again on what a model was trained on."""
    trigger = RetrainTrigger(0.5, trained_ids=frozenset("abcd"))
    trigger.look(frozenset("abce"), now=0.0)
    assert not trigger.is_asked
    trigger.look(frozenset("abef"), now=0.0)
    assert trigger.is_due(0.0)
    trigger.took(frozenset("abef"))
    trigger.look(frozenset("abef"), now=0.0)
    assert not trigger.is_asked


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_turnover_is_checked(share: float) -> None:
    """More than nothing, at most all."""
    with pytest.raises(ConfigError, match="retrain_on_turnover must be above 0"):
        RunConfig(retrain_on_turnover=share)
