"""The long-running consumer: a source, a state folder, and the run between them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from echo_stream.config import EngineConfig
from echo_stream.connectors.dead_letter_topic import DeadLetterTopic
from echo_stream.connectors.dead_letters import DeadLetterFile
from echo_stream.connectors.engine_files import read_generation
from echo_stream.connectors.retrying import Patience
from echo_stream.connectors.room import room_for_threads
from echo_stream.connectors.run_monitor import RunMonitor
from echo_stream.connectors.run_status import StatusFile
from echo_stream.connectors.shutdown import Signals
from echo_stream.connectors.snapshots import newest_manifest
from echo_stream.connectors.state_store import Checkpoint, StateStore
from echo_stream.connectors.status_reader import STATUS_FILE
from echo_stream.connectors.trained_on import retraining_of
from echo_stream.engine import EchoCoreset
from echo_stream.errors import StateError
from echo_stream.generation import Generation, check_partition, refuse_too_fine
from echo_stream.retraining import Examiner
from echo_stream.run_report import RunReport
from echo_stream.runtime import Run, RunConfig, Trainer
from echo_stream.source import Skipped, Source

KeptDeadLetters = DeadLetterFile | DeadLetterTopic


def consume(  # noqa: PLR0913 - everything that a run is between
    open_source: Callable[[], Source],
    state: Path,
    engine_config: EngineConfig,
    run_config: RunConfig,
    *,
    generation: Path | None = None,
    device: str = "auto",
    trainer: Trainer | None = None,
    examiner: Examiner | None = None,
    monitor: RunMonitor | None = None,
    open_dead_letters: Callable[[], KeptDeadLetters] | None = None,
    patience: Patience = Patience(),  # noqa: B008 - immutable
) -> RunReport:
    """Consume a source into a state folder, from where the state left off.

    SIGTERM and SIGINT end the run after the batch at hand, with a checkpoint and, if there
    is time, a snapshot, and the process with exit code 0 when the budget for that is spent;
    a second one, or one before the run has begun, ends the process at once, which loses
    nothing. SIGUSR1 asks for a snapshot. Checkpoints and snapshots are written in threads.

    Parameters
    ----------
    open_source : callable
        Opens the source; called when the state has been found usable.
    state : Path
        Created when it does not exist; locked meanwhile.
    engine_config : EngineConfig
    run_config : RunConfig
    generation : Path or None
        A trained generation for a new state.
    device : str
    trainer : Trainer, optional
    examiner : Examiner, optional
    monitor : RunMonitor, optional
        Who hears of everything; STATE/status.json is written whether there is one or not.
    open_dead_letters : callable, optional
        Opens what keeps the messages that are no samples; by default a file in the state.
    patience : Patience
        How long to try again while the disk is full.

    Raises
    ------
    StateError
        If the state is in use, of another configuration or source, or damaged.
    PositionError
        If the source has lost what the state would count next.
    SourceError
        If the source is not there, or fails. What was counted is in the state.
    InfrastructureError
        If the disk stays full, or the dead-letter topic away. The last checkpoint stands.
    """
    with Signals(run_config.shutdown_budget) as signals:
        trained = (
            None
            if generation is None
            else read_generation(generation, features=engine_config.features)
        )
        monitor = RunMonitor() if monitor is None else monitor
        keep = open_dead_letters or partial(DeadLetterFile, state / "dead-letters", patience)
        with (
            StateStore(state, patience, keep_snapshots=run_config.keep_snapshots) as store,
            StatusFile(state / STATUS_FILE, monitor) as status,
        ):
            signals.report_to(status.last_word)
            began = time.monotonic()
            checkpoint = store.load_checkpoint(engine_config, device=device)
            restored_s = time.monotonic() - began
            with (
                writers() as executor,
                closing(open_source()) as source,
                closing(keep()) as dead_letters,
            ):
                engine = _engine(checkpoint, trained, engine_config, device=device, state=state)
                skipped = _begin(checkpoint, source, engine, store)
                if engine.schema is not None:
                    source.expect(engine.schema)
                run = Run(
                    source,
                    engine,
                    store,
                    dead_letters,
                    config=run_config,
                    clock=time.monotonic,
                    trainer=trainer,
                    examiner=examiner,
                    retraining=retraining_of(state, run_config),
                    observer=monitor,
                    skipped=skipped,
                    executor=executor,
                    stats=monitor.stats,
                )
                monitor.resumed(
                    run.report,
                    {} if checkpoint is None else checkpoint.position,
                    newest_manifest(state),
                    restored_s,
                )
                monitor.watch(source)
                signals.steer(run)
                with room_for_threads():
                    return run.run()


@contextmanager
def writers() -> Iterator[Executor]:
    """Yield two threads that write: one checkpoint, and one snapshot.

    Nobody waits for them at the end: a run leaves nothing behind but a snapshot that it has
    given up.
    """
    executor = ThreadPoolExecutor(2, thread_name_prefix="echo-stream-writer")
    try:
        yield executor
    finally:
        executor.shutdown(wait=False)


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
        if trained is None:
            refuse_too_fine(config, max(config.warmup, config.expected_n or 0))
        else:
            check_partition(trained, config)
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
        source.seek(checkpoint.position)
        position = source.position()
        gaps = sum(max(position[name] - checkpoint.position.get(name, 0), 0) for name in position)
        skipped = checkpoint.skipped._replace(gaps=checkpoint.skipped.gaps + gaps)
        is_known = (checkpoint.position, checkpoint.source) == (position, source.describe())
    if not (is_known or source.has_fixed_start):
        store.save_checkpoint(engine, source.position(), source.describe(), skipped)
    return skipped
