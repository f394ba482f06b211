"""The long-running consumer: a source, a state folder, and the run between them."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from echo_stream.config import EngineConfig
from echo_stream.connectors.dead_letters import DeadLetterFile
from echo_stream.connectors.engine_files import read_generation
from echo_stream.connectors.state_store import Checkpoint, StateStore
from echo_stream.engine import EchoCoreset
from echo_stream.errors import StateError
from echo_stream.runtime import Observer, Run, RunConfig, RunReport, Trainer
from echo_stream.source import Source

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
    observer: Observer | None = None,
) -> RunReport:
    """Consume a source into a state folder, from where the state left off.

    SIGTERM and SIGINT end the run after the batch at hand, with a checkpoint and a
    snapshot; a second one ends the process at once, which loses nothing. SIGUSR1
    asks for a snapshot.

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
    observer : Observer, optional

    Raises
    ------
    StateError
        If the state is in use, of another configuration or source, or damaged.
    SourceError
        If the source is not there, or fails. What was counted is in the state.
    """
    trained = None if generation is None else read_generation(generation)
    with StateStore(state) as store:
        checkpoint = store.load_checkpoint(engine_config, device=device)
        with (
            closing(open_source()) as source,
            closing(DeadLetterFile(state / "dead-letters")) as dead_letters,
        ):
            if checkpoint is None:
                engine = EchoCoreset.from_config(engine_config, generation=trained, device=device)
            else:
                engine = checkpoint.engine
                _check_same_source(checkpoint, source, state)
                source.seek(checkpoint.position)
            if trained is not None and engine.generation_.id != trained.id:
                msg = (
                    f"{state} is of generation {engine.generation_.id}, not {trained.id}; "
                    "leave --generation out, or give another --state"
                )
                raise StateError(msg)
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
                observer=observer,
            )
            with _signals(run):
                return run.run()


def _check_same_source(checkpoint: Checkpoint, source: Source, state: Path) -> None:
    """Refuse to go on with another source than the one counted so far."""
    given = source.describe()
    if checkpoint.source != given:
        msg = (
            f"{state} has counted {dict(checkpoint.source)}, but the source is {given}; "
            "give another --state"
        )
        raise StateError(msg)


@contextmanager
def _signals(run: Run) -> Iterator[None]:
    """Let signals steer a run; what they did before is restored afterwards."""
    asked = False

    def stop(number: int, _: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise SystemExit(SIGNAL_EXIT_BASE + number)
        asked = True
        run.stop()

    def snapshot(_: int, __: FrameType | None) -> None:
        run.ask_snapshot()

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGUSR1: snapshot}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
