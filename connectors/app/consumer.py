"""The long-running consumer: a source, a state folder, and the run between them."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from echo_stream.config import EngineConfig
from echo_stream.connectors.dead_letters.limits import LetterLimits
from echo_stream.connectors.group.consumer import consume_in_group
from echo_stream.connectors.kafka.group_source import GroupSource
from echo_stream.connectors.process.retrying import Patience
from echo_stream.connectors.process.shutdown import Signals
from echo_stream.connectors.process.tuning import room_for_threads
from echo_stream.connectors.process.writers import Writers
from echo_stream.connectors.runner.consumption import (
    Consumption,
    Group,
    OpenDeadLetters,
    check_new,
)
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.runner.status import StatusFile
from echo_stream.connectors.runner.status_reader import STATUS_FILE
from echo_stream.connectors.storage.snapshots import newest_manifest
from echo_stream.connectors.storage.state_store import Checkpoint, StateStore
from echo_stream.connectors.training.model_files import retraining_of
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import StateError
from echo_stream.generation.generation import Generation
from echo_stream.run.config import RunConfig
from echo_stream.run.report import RunReport
from echo_stream.run.retraining import Examiner
from echo_stream.run.runtime import Run, Trainer
from echo_stream.samples.source import Skipped, Source


def consume(  # noqa: PLR0913 - everything that a run is between
    open_source: Callable[[], Source | GroupSource],
    state: Path,
    engine_config: EngineConfig,
    run_config: RunConfig,
    *,
    group: Group | None = None,
    generation: Path | None = None,
    device: str = "auto",
    trainer: Trainer | None = None,
    examiner: Examiner | None = None,
    monitor: RunMonitor | None = None,
    open_dead_letters: OpenDeadLetters | None = None,
    letter_limits: LetterLimits = LetterLimits(),  # noqa: B008 - immutable
    patience: Patience = Patience(),  # noqa: B008 - immutable
) -> RunReport:
    """Consume a source into a state folder, from where the state left off.

    A member of a consumer group counts the partitions that are assigned to it, into a state
    that it shares. Any number of processes do so at once, and may come, leave and die. Together
    they count each message once; the coreset is that of all of them. The last snapshot is left
    to the members that go on, if there are any.

    SIGTERM and SIGINT end the run after the batch at hand, with a checkpoint and, if there
    is time, a snapshot, and the process with exit code 0 when the budget for that is spent;
    a second one, or one before the run has begun, ends the process at once, which loses
    nothing. SIGUSR1 asks for a snapshot. Checkpoints and snapshots are written in threads.

    Parameters
    ----------
    open_source : callable
        Opens the source; called when the state has been found usable. Of a group: a
        `GroupSource`.
    state : Path
        Created when it does not exist; locked meanwhile, or shared with the other members.
    engine_config : EngineConfig
        A group never regenerates by itself: all segments are of one generation.
    run_config : RunConfig
    group : Group, optional
    generation : Path or None
        A trained generation for a new state. In a group without one, one member trains it.
    device : str
    trainer : Trainer, optional
    examiner : Examiner, optional
    monitor : RunMonitor, optional
        Who hears of everything; STATE/status.json is written whether there is one or not.
    open_dead_letters : callable, optional
        Opens what keeps the messages that are no samples; by default files in the state.
    letter_limits : LetterLimits
        How much these keep.
    patience : Patience
        How long to try again while the disk is full.

    Raises
    ------
    StateError
        If the state is in use, another group's, of another configuration or source, or damaged.
    PositionError
        If the source has lost what the state would count next.
    SourceError
        If the source is not there, or fails. What was counted is in the state.
    InfrastructureError
        If the disk stays full, or the dead-letter topic away. The last checkpoint stands.
    """
    consumption = Consumption(
        open_source=open_source,
        state=state,
        engine_config=engine_config,
        run_config=run_config,
        generation=generation,
        device=device,
        trainer=trainer,
        examiner=examiner,
        monitor=RunMonitor() if monitor is None else monitor,
        open_dead_letters=open_dead_letters,
        letter_limits=letter_limits,
        patience=patience,
    )
    return _consume_alone(consumption) if group is None else consume_in_group(group, consumption)


def _consume_alone(given: Consumption) -> RunReport:
    """Consume a source into a state that no other process uses."""
    config, device, monitor = given.engine_config, given.device, given.monitor
    with Signals(given.run_config.shutdown_budget) as signals:
        trained = given.trained()
        keep = given.run_config.keep_snapshots
        with (
            StateStore(given.state, given.patience, keep_snapshots=keep) as store,
            StatusFile(given.state / STATUS_FILE, monitor) as status,
        ):
            signals.report_to(status.last_word)
            began = time.monotonic()
            checkpoint = store.load_checkpoint(config, device=device)
            restored_s = time.monotonic() - began
            _tell(monitor, checkpoint, given.state, restored_s)
            with (
                room_for_threads(),  # after the state is read, and before anything is polled
                Writers() as executor,
                closing(given.open_source()) as source,
                closing(given.keep_dead_letters()) as dead_letters,
            ):
                assert not isinstance(source, GroupSource), "it reads for a group"
                engine = _engine(checkpoint, trained, config, device=device, state=given.state)
                skipped = _begin(checkpoint, source, engine, store)
                if engine.schema is not None:
                    source.expect(engine.schema)
                run = Run(
                    source,
                    engine,
                    store,
                    dead_letters,
                    config=given.run_config,
                    clock=time.monotonic,
                    trainer=given.trainer,
                    examiner=given.examiner,
                    retraining=retraining_of(given.state, given.run_config),
                    observer=monitor,
                    skipped=skipped,
                    executor=executor,
                    stats=monitor.stats,
                )
                monitor.report = run.report
                monitor.watch(source)
                signals.steer(run)
                return run.run()


def _tell(
    monitor: RunMonitor, checkpoint: Checkpoint | None, state: Path, restored_s: float
) -> None:
    """Let the monitor know what a state holds, also of a run that is refused afterwards."""
    if checkpoint is None:
        monitor.resumed(RunReport(), {}, newest_manifest(state), restored_s)
        return
    report = RunReport.of(checkpoint.engine, checkpoint.skipped)
    monitor.resumed(report, checkpoint.position, newest_manifest(state), restored_s)


def _engine(
    checkpoint: Checkpoint | None,
    trained: Generation | None,
    config: EngineConfig,
    *,
    device: str,
    state: Path,
) -> EchoCoreset:
    """Return the engine to go on with, or a new one."""
    if checkpoint is None:
        check_new(trained, config)
        return EchoCoreset.from_config(config, generation=trained, device=device)
    engine = checkpoint.engine
    if trained is not None and (engine.is_warming_up or engine.generation_.id != trained.id):
        msg = (
            f"{state} was begun without generation {trained.id}; leave --generation out, "
            "or give another --state"
        )
        raise StateError(msg)
    return engine


def _begin(
    checkpoint: Checkpoint | None, source: Source, engine: EchoCoreset, store: StateStore
) -> Skipped:
    """Let the source begin, or go on after a checkpoint; return what has been skipped so far.

    A start that could be another one the next time, or a source that is accepted in place
    of another, is stored before its first sample: it must outlive a crash.
    """
    if checkpoint is None:
        skipped, is_known = Skipped(), False
    else:
        source.recognise(checkpoint.source)
        skipped = checkpoint.skipped.plus(source.seek(checkpoint.position))
        position = source.position()
        is_known = (checkpoint.position, checkpoint.source) == (position, source.describe())
    if not (is_known or source.has_fixed_start):
        store.save_checkpoint(engine, source.position(), source.describe(), skipped)
    return skipped
