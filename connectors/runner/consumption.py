"""Everything that a run is between: what the two kinds of consumers are given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from echo_stream.config import EngineConfig
from echo_stream.connectors.dead_letters.files import DeadLetterFile
from echo_stream.connectors.dead_letters.limits import LetterLimits
from echo_stream.connectors.dead_letters.topic import DeadLetterTopic
from echo_stream.connectors.kafka.group_source import GroupSource
from echo_stream.connectors.process.retrying import Patience
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.storage.engine_files import read_generation
from echo_stream.generation.generation import Generation, check_partition, refuse_too_fine
from echo_stream.run.config import RunConfig
from echo_stream.run.report import RunStats
from echo_stream.run.retraining import Examiner
from echo_stream.run.runtime import Trainer
from echo_stream.samples.source import Source

KeptDeadLetters: TypeAlias = DeadLetterFile | DeadLetterTopic
OpenDeadLetters: TypeAlias = Callable[[RunStats], KeptDeadLetters]


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
    """What a consumer is given; `consume` says what each of it is."""

    open_source: Callable[[], Source | GroupSource]
    state: Path
    engine_config: EngineConfig
    run_config: RunConfig
    generation: Path | None
    device: str
    trainer: Trainer | None
    examiner: Examiner | None
    monitor: RunMonitor
    open_dead_letters: OpenDeadLetters | None
    letter_limits: LetterLimits
    patience: Patience

    def keep_dead_letters(self) -> KeptDeadLetters:
        """Open what keeps the messages that are no samples: by default a file in the state."""
        stats = self.monitor.stats
        if self.open_dead_letters is not None:
            return self.open_dead_letters(stats)
        folder = self.state / "dead-letters"
        return DeadLetterFile(folder, self.patience, self.letter_limits, stats)

    def trained(self) -> Generation | None:
        """Return the generation that was given, if one was."""
        if self.generation is None:
            return None
        return read_generation(self.generation, features=self.engine_config.features)


def check_new(trained: Generation | None, config: EngineConfig) -> None:
    """Refuse to begin a state with a generation, or with settings to train one, that will not do.

    Raises
    ------
    ConfigError
    """
    if trained is None:
        refuse_too_fine(config, max(config.warmup, config.expected_n or 0))
    else:
        check_partition(trained, config)
