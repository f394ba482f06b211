"""The long-running consumer: a source, a state folder, and the run between them."""

import time
from pathlib import Path

from echo_stream.config import EngineConfig
from echo_stream.connectors.group.consumer import consume_in_group
from echo_stream.connectors.kafka.group_source import GroupSource
from echo_stream.connectors.process.shutdown import Signals
from echo_stream.connectors.runner.consumption import Consumption, check_new
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.runner.status import StatusFile
from echo_stream.connectors.runner.status_reader import STATUS_FILE
from echo_stream.connectors.storage.snapshots import newest_manifest
from echo_stream.connectors.storage.state_store import Checkpoint, StateStore
from echo_stream.connectors.training.model_files import retrain_trigger
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import SettingName, StateError
from echo_stream.generation.generation import Generation
from echo_stream.run.report import RunReport
from echo_stream.run.retraining import Retraining
from echo_stream.samples.source import Skipped, Source


def consume(given: Consumption) -> RunReport:
    """Consume a source into a state folder, from where the state left off.

    A member of a consumer group counts the partitions that are assigned to it, into a state
    that it shares. Any number of processes do so at once, and may come, leave and die. Together
    they count each message once; the coreset is that of all of them. The last snapshot is left
    to the members that go on, if there are any.

    SIGTERM and SIGINT end the run after the current batch, with a checkpoint and, if there
    is time, a snapshot, and the process with exit code 0 when the budget for that is spent;
    a second one, or one before the run has begun, ends the process at once, which loses
    nothing. SIGUSR1 asks for a snapshot. Checkpoints and snapshots are written in threads.

    Raises
    ------
    StateError
        If the state is in use, another group's, of another configuration or source, or damaged.
    OffsetsError
        If the source has lost what the state would count next.
    SourceError
        If the source is not there, or fails. What was counted is in the state.
    InfrastructureError
        If the disk stays full, or the dead-letter topic away. The last checkpoint stands.
    """
    return _consume_alone(given) if given.group is None else consume_in_group(given.group, given)


def _consume_alone(given: Consumption) -> RunReport:
    """Consume a source into a state that no other process uses."""
    config, device, monitor = given.engine_config, given.device, given.monitor
    with Signals(given.run_config.shutdown_budget) as signals:
        trained = given.trained_generation()
        keep = given.run_config.keep_snapshots
        with (
            StateStore(given.state, given.retries, keep_snapshots=keep) as store,
            StatusFile(given.state / STATUS_FILE, monitor) as status,
        ):
            signals.report_to(status.write_last)
            began = time.monotonic()
            checkpoint = store.load_checkpoint(config, device=device)
            restored_s = time.monotonic() - began
            _report_state(monitor, checkpoint, given.state, restored_s)
            with given.runs() as runs:  # after the state is read
                assert not isinstance(runs.source, GroupSource), "a source of no group"
                engine = _engine(checkpoint, trained, config, device=device, state=given.state)
                skipped = _begin(checkpoint, runs.source, engine, store)
                trigger = retrain_trigger(given.state, given.run_config)
                run = runs.new(
                    engine,
                    store,
                    given.run_config,
                    monitor,
                    retraining=Retraining(given.trainer, given.examiner, trigger),
                    skipped=skipped,
                )
                monitor.report = run.report
                signals.control(run)
                return run.run()


def _report_state(
    monitor: RunMonitor, checkpoint: Checkpoint | None, state: Path, restored_s: float
) -> None:
    """Report what a state holds, also if the run is refused afterwards."""
    if checkpoint is None:
        monitor.resumed(RunReport(), {}, newest_manifest(state), restored_s)
        return
    report = RunReport.of(checkpoint.engine, checkpoint.skipped)
    monitor.resumed(report, checkpoint.offsets, newest_manifest(state), restored_s)


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
        msg = f"{state} was begun without generation {trained.id}; leave "
        raise StateError(
            msg,
            SettingName("generation"),
            " out, or give another ",
            SettingName("state"),
        )
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
        skipped = checkpoint.skipped.plus(source.seek(checkpoint.offsets))
        offsets = source.offsets()
        is_known = (checkpoint.offsets, checkpoint.source) == (offsets, source.describe())
    if not (is_known or source.has_fixed_start):
        store.save_checkpoint(engine, source.offsets(), source.describe(), skipped)
    return skipped
