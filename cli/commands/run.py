"""`echo-stream run`: the long-running consumer."""

import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.client import client_options
from echo_stream.cli.options.dead_letters import DeadLetterOptions, dead_letter_options
from echo_stream.cli.options.fields import Fields, encoder_option, fields_options, loaded
from echo_stream.cli.options.http import http_options, served
from echo_stream.cli.options.parameters import DURATION, INTERVAL, SHARE
from echo_stream.cli.options.retrain import (
    HookOptions,
    RetrainOptions,
    hook_options,
    retrain_options,
)
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import (
    engine_options,
    gathered,
    needed_state,
    option,
    section,
    state_option,
)
from echo_stream.cli.options.source import SourceOptions, codec_options, source_options
from echo_stream.cli.options.train import ModelOptions, model_options
from echo_stream.cli.output.logs import log_options
from echo_stream.cli.output.output import emit, say, tell
from echo_stream.cli.output.watching import watched

if TYPE_CHECKING:
    from fastapi import APIRouter

    from echo_stream.config import EngineConfig
    from echo_stream.connectors.codecs import CodecConfig
    from echo_stream.connectors.http import HttpConfig
    from echo_stream.connectors.kafka.client_config import ClientConfig
    from echo_stream.connectors.runner.monitor import RunMonitor
    from echo_stream.run.config import RunConfig
    from echo_stream.run.report import RunReport

_STOPPED_HOOKS_S = 5.0  # what hooks may still take after a stop; the next run does the rest


def _run_config(*, retrain_debounce: float | None, **others: Any) -> "RunConfig":
    """Return when the run writes, trains and stops."""
    from echo_stream.run.config import RunConfig

    return RunConfig(retrain_debounce=retrain_debounce or 0.0, **others)


_run_config_options = gathered(
    "run_config", _run_config,
    option("--max-samples", type=int, help="Stop after this many samples."),
    option("--checkpoint-every", type=INTERVAL, default="30s",
           help="How often to write a checkpoint: samples such as 20000, a time such as 30s, or "
                "never. One is always written at the end."),
    option("--snapshot-every", type=INTERVAL, default="10m",
           help="How often to write a snapshot: samples, a time, or never. One is always written "
                "at the end."),
    option("--keep-snapshots", type=int,
           help="Keep this many of the newest snapshots, and those that are pinned. Default: keep "
                "all."),
    option("--max-bad-share", type=float, default=0.5,
           help="Stop with exit code 5 when more than this share of the last --bad-window "
                "messages, or of a whole shorter stream, is invalid. With 1, never."),
    option("--bad-window", type=int, default=1_000,
           help="Number of messages that --max-bad-share is a share of."),
    option("--shutdown-budget", type=DURATION, default="25s",
           help="Time from SIGTERM or SIGINT to the end of the process. If it is too short, the "
                "last snapshot is not written."),
    option("--retrain-every", type=INTERVAL, default="never",
           help="How often to train --model on a new snapshot, in a process of its own: samples, "
                "a time, or never."),
    option("--retrain-on-turnover", type=SHARE, metavar="PERCENT",
           help="Train when this share of a snapshot is new since the last training, such as 20%."),
    option("--retrain-debounce", type=DURATION, default="1m",
           help="How long to wait before a training for turnover or drift, so that triggers close "
                "together cause one training."),
)  # fmt: skip


class _RunCommand(Command):
    """A command that ignores SIGUSR1 until the run can write a snapshot."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; until it handles SIGUSR1 itself, that does nothing."""
        before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        try:
            return super().invoke(ctx)
        finally:
            signal.signal(signal.SIGUSR1, before)


@click.command(cls=_RunCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@state_option
@section("Source", source_options)
@section("Messages", codec_options, fields_options, encoder_option)
@section("Connection", client_options)
@engine_options
@section("When to write, train and stop", _run_config_options)
@section("Dead letters", dead_letter_options)
@section("Retraining", retrain_options, hook_options, model_options)
@section("HTTP", http_options())
@section("Log", log_options)
def run(
    *,
    data: Path | None,
    source: SourceOptions,
    codec: "CodecConfig",
    fields: Fields,
    encoder: str | None,
    client: "ClientConfig",
    state: Path | None,
    engine_config: "EngineConfig",
    generation: Path | None,
    device: str,
    run_config: "RunConfig",
    dead_letters: DeadLetterOptions,
    retraining: RetrainOptions,
    hooks: HookOptions,
    model: ModelOptions,
    http: "HttpConfig | None",
) -> None:
    """Read Kafka topics and keep a coreset of them in a state folder.

    With DATA, a file or a folder is read once, as a stream: .npz, .npy, .parquet, or a folder of
    .parquet files or of images.

    A run continues where the last one over the same state stopped. SIGTERM and SIGINT stop it
    with a checkpoint and a snapshot; a second signal stops it at once. SIGUSR1 asks for a snapshot.

    \b
    Example:
      echo-stream run --bootstrap-servers localhost:9092 --topic events --state DIR --budget 300
    """
    folder = needed_state(state)
    makes_vectors = loaded(encoder, device)
    identity = None if makes_vectors is None else makes_vectors.identity
    engine_config = replace(engine_config, holdout=retraining.holdout, encoder=identity)
    open_source = source.opener(
        data,
        fields.codec(codec, engine_config),
        client,
        folder / "decoding",
        makes_vectors,
        lambda: fields.columns(makes_vectors),
    )
    from echo_stream.connectors.app.consumer import consume
    from echo_stream.connectors.files.inputs import InputReport
    from echo_stream.connectors.runner.consumption import Consumption, Group

    open_dead_letters = dead_letters.opener(source, client)
    group = None if source.group is None else Group(source.group, source.until_end)
    if group is not None:
        _refuse_in_group(data, engine_config)
    examiner = retraining.examiner(folder, model)
    with (
        hooks.hooks(folder, source, client) as told,
        watched(run_config.max_samples) as monitor,
        served(http, lambda: _routers(monitor, folder, engine_config), monitor.http),
    ):
        monitor.input_report = InputReport(tell)
        if examiner is not None:
            monitor.prequential = examiner.to_json
        given = Consumption(
            lambda: open_source(monitor.stats),
            state=folder,
            engine_config=engine_config,
            run_config=run_config,
            group=group,
            generation=generation,
            device=device,
            trainer=retraining.trainer(
                folder, model, fields.arguments(encoder), run_config, monitor, examiner
            ),
            examiner=examiner,
            monitor=monitor,
            open_dead_letters=open_dead_letters,
            dead_letter_limits=dead_letters.limits(),
            retries=dead_letters.retries(),
        )
        report = consume(given)
        told.finish(_STOPPED_HOOKS_S if report.end_reason == "stopped" else None)
    _say_how_it_ended(report, engine_config.warmup_size, is_member=group is not None)
    if report.rejected:
        topic = dead_letters.dead_letter_topic
        where = folder / "dead-letters" if topic is None else f"topic {topic}"
        say(f"{report.rejected} messages were invalid; they are in {where}")
    stats = monitor.stats
    if stats.dead_letters_truncated or stats.dead_letters_removed:
        say(
            f"{stats.dead_letters_truncated} dead letters were cut (--dead-letter-bytes), and "
            f"{stats.dead_letters_removed} old ones removed (--dead-letters-total)"
        )
    emit(
        {
            "state": str(folder),
            **asdict(report),
            "dead_letters_truncated": stats.dead_letters_truncated,
            "dead_letters_removed": stats.dead_letters_removed,
            "inputs": monitor.input_report.to_json(),
            "prequential": None if examiner is None else examiner.to_json(),
        }
    )


def _routers(monitor: "RunMonitor", state: Path, config: "EngineConfig") -> "list[APIRouter]":
    """Return what the HTTP app of a run answers."""
    from echo_stream.connectors.http import run_routers

    return run_routers(monitor, state, features=config.features)


def _refuse_in_group(data: Path | None, config: "EngineConfig") -> None:
    """Refuse what only a process without a group can do."""
    if data is not None:
        msg = "--group shares out the partitions of topics; leave it out, or give --topic"
        raise click.UsageError(msg)
    if config.auto_regenerate and is_flag("auto_regenerate"):
        msg = "a group counts with one generation; leave --auto-regenerate or --group out"
        raise click.UsageError(msg)
    if config.on_duplicate == "replace":
        msg = (
            "a sample to replace may be in the segment of another member; leave "
            "--on-duplicate replace or --group out"
        )
        raise click.UsageError(msg)


def _say_how_it_ended(report: "RunReport", warmup: int, *, is_member: bool) -> None:
    """Say what the run could not finish."""
    if report.training_abandoned:
        say("stopped while the generation was being trained; the next run trains it")
    elif report.snapshot_abandoned:
        say("stopped before the last snapshot was written; the next run writes it")
    elif report.snapshot_provisional or (not report.snapshots and not is_member):
        has = "the snapshot is provisional" if report.snapshots else "no snapshot yet"
        say(f"{has}: {report.n} of {warmup} samples of the warm-up")
