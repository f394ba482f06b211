"""The long-running consumer: a source, a state folder, and the run between them."""

import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

from echo_stream.config import EngineConfig
from echo_stream.connectors.dead_letters import DeadLetterFile
from echo_stream.connectors.engine_files import read_generation
from echo_stream.connectors.run_monitor import RunMonitor
from echo_stream.connectors.run_status import STATUS_FILE, StatusFile
from echo_stream.connectors.snapshots import newest_manifest
from echo_stream.connectors.state_store import Checkpoint, StateStore
from echo_stream.engine import EchoCoreset
from echo_stream.errors import StateError
from echo_stream.generation import Generation, check_partition, refuse_too_fine
from echo_stream.runtime import Run, RunConfig, RunReport, Trainer
from echo_stream.source import Skipped, Source

SIGNAL_EXIT_BASE = 128  # exit code of a process that a signal has ended, as shells count


def consume(
    open_source: Callable[[], Source],
    state: Path,
    engine_config: EngineConfig,
    run_config: RunConfig,
    *,
    generation: Path | None = None,
    device: str = "auto",
    trainer: Trainer | None = None,
    monitor: RunMonitor | None = None,
) -> RunReport:
    """Consume a source into a state folder, from where the state left off.

    SIGTERM and SIGINT end the run after the batch at hand, with a checkpoint and a
    snapshot; a second one, or one before the run has begun, ends the process at once,
    which loses nothing. SIGUSR1 asks for a snapshot.

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
    monitor : RunMonitor, optional
        Who hears of everything; STATE/status.json is written whether there is one or not.

    Raises
    ------
    StateError
        If the state is in use, of another configuration or source, or damaged.
    PositionError
        If the source has lost what the state would count next.
    SourceError
        If the source is not there, or fails. What was counted is in the state.
    """
    with _Signals() as signals:
        trained = (
            None
            if generation is None
            else read_generation(generation, features=engine_config.features)
        )
        monitor = RunMonitor() if monitor is None else monitor
        with (
            StateStore(state, keep_snapshots=run_config.keep_snapshots) as store,
            StatusFile(state / STATUS_FILE, monitor),
        ):
            began = time.monotonic()
            checkpoint = store.load_checkpoint(engine_config, device=device)
            restored_s = time.monotonic() - began
            with (
                closing(open_source()) as source,
                closing(DeadLetterFile(state / "dead-letters")) as dead_letters,
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
                    observer=monitor,
                    skipped=skipped,
                )
                monitor.resumed(
                    {} if checkpoint is None else checkpoint.position,
                    newest_manifest(state),
                    restored_s,
                )
                monitor.watch(source)
                signals.steer(run)
                return run.run()


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


class _Signals:
    """Let signals steer a run, also while it is still being set up.

    What signals did before is restored at the end.
    """

    def __init__(self) -> None:
        self._run: Run | None = None
        self._is_stop_asked = self._is_snapshot_asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Signals":
        """Take the signals over."""
        handlers = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGUSR1: self._snapshot,
        }
        self._before = {number: signal.signal(number, what) for number, what in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def steer(self, run: Run) -> None:
        """Steer a run from now on; it hears of what has been asked for so far."""
        self._run = run
        if self._is_snapshot_asked:
            run.ask_snapshot()

    def _stop(self, number: int, _: FrameType | None) -> None:
        """End the run; the second time, or while there is none yet, end the process."""
        if self._is_stop_asked or self._run is None:
            raise SystemExit(SIGNAL_EXIT_BASE + number)
        self._is_stop_asked = True
        self._run.stop()

    def _snapshot(self, _: int, __: FrameType | None) -> None:
        """Ask for a snapshot."""
        self._is_snapshot_asked = True
        if self._run is not None:
            self._run.ask_snapshot()
