"""What a consumer is given, and the runs that it makes of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from echo_stream.config import EngineConfig
from echo_stream.connectors.dead_letters.files import DeadLetterFile
from echo_stream.connectors.dead_letters.limits import DeadLetterLimits
from echo_stream.connectors.dead_letters.topic import DeadLetterTopic
from echo_stream.connectors.kafka.group_source import GroupSource
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.connectors.process.tuning import tuned_process
from echo_stream.connectors.process.writers import Writers
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.storage.engine_files import read_generation
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.generation.generation import Generation, check_quantiser, refuse_too_fine
from echo_stream.run.config import RunConfig
from echo_stream.run.observer import Observer
from echo_stream.run.recording import Store
from echo_stream.run.report import RunStats
from echo_stream.run.retraining import Examiner, Retraining, Trainer
from echo_stream.run.runtime import Environment, Run
from echo_stream.samples.source import Skipped, Source

OpenDeadLetters: TypeAlias = Callable[[RunStats], DeadLetterFile | DeadLetterTopic]


class Group(NamedTuple):
    """A consumer group that a run is a member of.

    Attributes
    ----------
    name : str
    until_end : bool
        End when the group has counted all that was there when this process began.
    """

    name: str
    until_end: bool = False


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a consumer does, and with what.

    Attributes
    ----------
    open_source : callable
        Opens the source, a `GroupSource` of a group; called when the state has been found usable.
    state : Path
        Created when it does not exist; locked meanwhile, or shared with the other members.
    engine_config : EngineConfig
        A group never regenerates by itself: all segments are of one generation.
    run_config : RunConfig
    group : Group or None
    generation : Path or None
        A trained generation for a new state. In a group without one, one member trains it.
    device : str
    trainer : Trainer or None
    examiner : Examiner or None
    monitor : RunMonitor
        Observes the run; STATE/status.json says what it knows.
    open_dead_letters : callable or None
        Opens what stores invalid messages; None: files in the state.
    dead_letter_limits : DeadLetterLimits
        How many of them these files keep.
    retries : RetryPolicy
        How long to try again while the disk is full.
    """

    open_source: Callable[[], Source | GroupSource]
    state: Path
    engine_config: EngineConfig
    run_config: RunConfig
    group: Group | None = None
    generation: Path | None = None
    device: str = "auto"
    trainer: Trainer | None = None
    examiner: Examiner | None = None
    monitor: RunMonitor = field(default_factory=RunMonitor)
    open_dead_letters: OpenDeadLetters | None = None
    dead_letter_limits: DeadLetterLimits = field(default_factory=DeadLetterLimits)
    retries: RetryPolicy = field(default_factory=RetryPolicy)

    def trained_generation(self) -> Generation | None:
        """Return the generation that was given, if one was."""
        if self.generation is None:
            return None
        return read_generation(self.generation, features=self.engine_config.features)

    @contextmanager
    def runs(self) -> Iterator["Runs"]:
        """Open a source and the dead letters, and yield what makes runs over them."""
        with (
            tuned_process(),  # before anything is polled
            Writers() as executor,
            closing(self.open_source()) as source,
            closing(self._open_dead_letters()) as dead_letters,
        ):
            yield Runs(self, source, dead_letters, executor)

    def _open_dead_letters(self) -> DeadLetterFile | DeadLetterTopic:
        """Open what stores invalid messages."""
        stats = self.monitor.stats
        if self.open_dead_letters is not None:
            return self.open_dead_letters(stats)
        return DeadLetterFile(
            self.state / "dead-letters", self.retries, self.dead_letter_limits, stats
        )


class Runs:
    """Make runs over one source, one after the other.

    Parameters
    ----------
    given : Consumption
    source, dead_letters
    executor : Executor
        Writes checkpoints and snapshots.
    """

    def __init__(
        self,
        given: Consumption,
        source: Source | GroupSource,
        dead_letters: DeadLetterFile | DeadLetterTopic,
        executor: Writers,
    ) -> None:
        self.source = source
        self._given, self._dead_letters, self._executor = given, dead_letters, executor

    def new(
        self,
        engine: EchoCoreset,
        store: Store,
        config: RunConfig,
        observer: Observer,
        *,
        retraining: Retraining,
        skipped: Skipped,
    ) -> Run:
        """Return a run that counts what the source brings from its offsets on."""
        if engine.schema is not None:
            self.source.expect(engine.schema)
        monitor = self._given.monitor
        monitor.watch(self.source)
        return Run(
            self.source,
            engine,
            store,
            self._dead_letters,
            config,
            Environment(time.monotonic, self._executor, observer, monitor.stats),
            retraining=retraining,
            skipped=skipped,
        )


def check_new(trained: Generation | None, config: EngineConfig) -> None:
    """Refuse to begin a state with a generation, or with settings to train one, that will not do.

    Raises
    ------
    ConfigError
    """
    if trained is None:
        refuse_too_fine(config, max(config.warmup_size, config.expected_n or 0))
    else:
        check_quantiser(trained, config)
