"""`echo-stream run`: the long-running consumer."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.client import client_options
from echo_stream.cli.options.dead_letters import letter_limits, topic_opener
from echo_stream.cli.options.dead_letters import run_options as dead_letter_options
from echo_stream.cli.options.http import http_config, http_options, served
from echo_stream.cli.options.parameters import Duration, Interval, Shape, Start
from echo_stream.cli.options.retrain import (
    child_trainer,
    examiner_of,
    hooks_of,
    retrain_options,
    trains_on_refreshed,
)
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import (
    allow_local_modules,
    engine_options,
    option,
    servers_option,
    state_option,
    together,
)
from echo_stream.cli.options.train import model_options
from echo_stream.cli.output.logs import log_options
from echo_stream.cli.output.output import emit, say, tell
from echo_stream.cli.output.watching import watched

if TYPE_CHECKING:
    from fastapi import APIRouter

    from echo_stream.config import EngineConfig
    from echo_stream.connectors.runner.monitor import RunMonitor
    from echo_stream.run.report import RunStats
    from echo_stream.samples.source import Source

STOPPED_HOOKS_S = 5.0  # what hooks may still take after a stop; the next run does the rest

source_options = together(
    option("--topic", "topics", multiple=True, help="Topic to read; may be repeated."),
    servers_option,
    option(
        "--start", type=Start(), default="earliest",
        metavar="earliest|latest|TIME|TOPIC:PARTITION:OFFSET,...",
        help="Where a new state begins; a time is ISO 8601 (UTC) or epoch milliseconds.",
    ),
    option(
        "--accept-source", is_flag=True,
        help="Go on though a topic was recreated, the cluster is another, or offsets are gone.",
    ),
    option(
        "--on-tombstone", type=click.Choice(["forget", "ignore"]), default="forget",
        help="What a message without a value does: the samples of its key are forgotten.",
    ),
    option("--group", metavar="NAME",
           help="Share the topics and the state with other processes: a consumer group's name."),
    option("--until-end", is_flag=True, help="Stop at the end of the topics as it is now."),
    option(
        "--message-format", default="auto",
        type=click.Choice(["auto", "npy", "raw", "json", "arrow", "image"]),
        help="Format of messages without a content-type header.",
    ),
    option("--dtype",
           help="Of raw messages without a dtype header, such as float32, and of JSON."),
    option("--shape", type=Shape(),
           help="Of raw messages, such as 28,28; with --dtype, what every sample must be."),
    option("--codec", metavar="MODULE:FACTORY",
           help="Makes an object whose decode(value, headers, key) reads all messages."),
    option("--max-message-bytes", type=click.IntRange(1), default=16 * 1024**2,
           help="Larger messages are refused, also once they are uncompressed."),
    option("--max-elements", type=click.IntRange(1), default=16_777_216,
           help="Likewise those of more values, of all their samples."),
    option("--max-pixels", type=click.IntRange(1), default=16_777_216,
           help="Likewise images of more pixels."),
    option("--max-batch-bytes", type=click.IntRange(1), default=64 * 1024**2,
           help="Batches of records that take more once they are decompressed are refused "
                "unread, each as one dead letter."),
    option("--queue-bytes", type=click.IntRange(1), default=64 * 1024**2,
           help="Fetching pauses while messages of so many bytes wait to be counted."),
    option("--queue-records", type=click.IntRange(1), default=50_000,
           help="Likewise so many messages."),
    option("--broker-timeout", type=Duration(), default="5m",
           help="Without a sign of a broker for so long, end with a checkpoint and exit code 3; "
                "never: wait."),
)  # fmt: skip

schedule_options = together(
    option("--max-samples", type=click.IntRange(1), help="Stop when so many have been counted."),
    option("--checkpoint-every", type=Interval(), default="30s",
           help="Samples such as 20000, a time such as 30s, or never (only at the end)."),
    option("--snapshot-every", type=Interval(), default="10m",
           help="Likewise; the last snapshot is always written."),
    option("--keep-snapshots", type=click.IntRange(1),
           help="Prune snapshots but so many of the newest, and the pinned; default: none."),
    option("--max-bad-share", type=click.FloatRange(0, 1), default=0.5,
           help="Stop, exit code 5, when more of the last --bad-window messages, or all of a "
                "shorter stream, are no samples; 1: never."),
    option("--bad-window", type=click.IntRange(1), default=1_000,
           help="Messages that --max-bad-share is a share of."),
    option("--shutdown-budget", type=Duration(), default="25s",
           help="Time from SIGTERM or SIGINT to the end of the process; the last snapshot is "
                "given up when it is short."),
)  # fmt: skip


class RunCommand(Command):
    """A command that lives on when it is asked for a snapshot before there can be one."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; until it handles SIGUSR1 itself, that does nothing."""
        before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        try:
            return super().invoke(ctx)
        finally:
            signal.signal(signal.SIGUSR1, before)


@click.command(cls=RunCommand)
@click.argument("data", type=click.Path(path_type=Path), required=False)
@source_options
@client_options
@state_option
@engine_options
@schedule_options
@dead_letter_options
@retrain_options
@model_options
@http_options
@log_options
def run(
    *,
    data: Path | None,
    state: Path | None,
    engine_config: "EngineConfig",
    generation: Path | None,
    device: str,
    **values: Any,
) -> None:
    """Consume topics, or DATA read once as a stream, into a state folder.

    DATA is .npz, .npy, .parquet, or a folder of .parquet files or of images.

    A state goes on where it left off. SIGTERM and SIGINT end the run with a checkpoint
    and a snapshot; a second one ends it at once. SIGUSR1 asks for a snapshot.

    \b
    Example:
      echo-stream run --bootstrap-servers localhost:9092 --topic events --state DIR --budget 300
    """
    if state is None:
        msg = "give --state DIR, the folder that keeps what has been counted"
        raise click.UsageError(msg)
    open_source = source_opener(data, values, state / "decoding", engine_config.max_text_bytes)
    from dataclasses import asdict, replace  # noqa: PLC0415

    from echo_stream.connectors.app.consumer import consume  # noqa: PLC0415 - imports torch
    from echo_stream.connectors.files.intake import FirstLook  # noqa: PLC0415
    from echo_stream.connectors.process.retrying import Patience  # noqa: PLC0415
    from echo_stream.connectors.runner.consumption import Group  # noqa: PLC0415
    from echo_stream.run.config import RunConfig  # noqa: PLC0415

    patience = Patience(values["retry_timeout"])
    limits = letter_limits(values)
    open_dead_letters = topic_opener(values, patience, limits)

    names = ("checkpoint_every", "snapshot_every", "retrain_every", "max_samples",
             "max_bad_share", "bad_window", "keep_snapshots", "shutdown_budget",
             "retrain_on_turnover")  # fmt: skip
    group = None if values["group"] is None else Group(values["group"], values["until_end"])
    if group is not None:
        refuse_alone(data, engine_config)
    http = http_config(values["http"], values["http_token_file"])
    examiner = examiner_of(state, values)
    with (
        hooks_of(state, values) as hooks,
        watched(values["max_samples"]) as monitor,
        served(http, lambda: routers_of(monitor, state, engine_config.features), monitor.http),
    ):
        monitor.first_look = FirstLook(tell)
        if examiner is not None:
            monitor.prequential = examiner.to_json
        report = consume(
            lambda: open_source(monitor.stats),
            state=state,
            engine_config=replace(engine_config, holdout=values["holdout"]),
            run_config=RunConfig(
                **{name: values[name] for name in names},
                retrain_debounce=values["retrain_debounce"] or 0.0,
                retrain_refreshed=trains_on_refreshed(values, engine_config),
            ),
            group=group,
            generation=generation,
            device=device,
            trainer=child_trainer(state, values, monitor, examiner),
            examiner=examiner,
            monitor=monitor,
            open_dead_letters=open_dead_letters,
            letter_limits=limits,
            patience=patience,
        )
        hooks.finish(STOPPED_HOOKS_S if report.end_reason == "stopped" else None)
    if report.training_abandoned:
        say("stopped while the generation was being trained; the next run trains it")
    elif report.snapshot_abandoned:
        say("stopped before the last snapshot was done; the next run takes it")
    elif report.snapshot_provisional or (not report.snapshots and group is None):
        has = "the snapshot is provisional" if report.snapshots else "no snapshot yet"
        say(f"{has}: {report.n} of {engine_config.warmup} samples of the warm-up")
    if report.rejected:
        topic = values["dead_letter_topic"]
        where = state / "dead-letters" if topic is None else f"topic {topic}"
        say(f"{report.rejected} messages were no samples; they are in {where}")
    letters = {
        "dead_letters_cut": monitor.stats.dead_letters_cut,
        "dead_letters_gone": monitor.stats.dead_letters_gone,
    }
    if any(letters.values()):
        cut, gone = letters.values()
        say(f"of dead letters {cut} are cut (--dead-letter-bytes), and {gone} old ones gone")
    tested = None if examiner is None else examiner.to_json()
    inputs = monitor.first_look.to_json()
    more = {**letters, "inputs": inputs, "prequential": tested}
    emit({"state": str(state), **asdict(report), **more})


def routers_of(monitor: "RunMonitor", state: Path, features: str | None) -> "list[APIRouter]":
    """Return what the HTTP app of a run answers."""
    from echo_stream.connectors.http import run_routers  # noqa: PLC0415

    return run_routers(monitor, state, features=features)


def source_opener(
    data: Path | None, values: dict[str, Any], notes: Path, max_text_bytes: int
) -> "Callable[[RunStats], Source]":
    """Return what opens the source that the options name."""
    topics, servers = values["topics"], values["bootstrap_servers"]
    if data is not None and not is_flag("topics"):
        topics = ()  # set for all commands, where DATA is asked for here
    if (data is None) == (not topics):
        msg = "give either DATA or --topic (with --bootstrap-servers)"
        raise click.UsageError(msg)
    if data is not None:
        from echo_stream.connectors.files.data_files import file_source  # noqa: PLC0415

        return lambda _: file_source(data, max_text_bytes=max_text_bytes)
    if servers is None:
        msg = "--topic needs --bootstrap-servers HOST:PORT"
        raise click.UsageError(msg)
    from echo_stream.connectors.codecs import CodecConfig, load_codec  # noqa: PLC0415
    from echo_stream.connectors.kafka.config import KafkaConfig  # noqa: PLC0415
    from echo_stream.connectors.kafka.source import KafkaSource  # noqa: PLC0415

    allow_local_modules()
    codec = CodecConfig(
        values["message_format"],
        values["dtype"],
        values["shape"],
        max_bytes=values["max_message_bytes"],
        max_elements=values["max_elements"],
        max_pixels=values["max_pixels"],
        max_text_bytes=max_text_bytes,
        codec=None if values["codec"] is None else load_codec(values["codec"]),
    )
    config = KafkaConfig(
        topics,
        servers,
        codec,
        values["start"],
        until_end=values["until_end"],
        on_tombstone=values["on_tombstone"],
        accept_source=values["accept_source"],
        client=values["client"],
        max_batch_bytes=values["max_batch_bytes"],
        queue_bytes=values["queue_bytes"],
        queue_records=values["queue_records"],
        broker_timeout=values["broker_timeout"],
        notes=notes,
    )
    group = values["group"]
    if group is None:
        return lambda stats: KafkaSource(config, stats)
    from echo_stream.connectors.kafka.membership import Membership  # noqa: PLC0415

    membership = Membership(group)
    return lambda stats: KafkaSource(config, stats, membership)


def refuse_alone(data: Path | None, config: "EngineConfig") -> None:
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
