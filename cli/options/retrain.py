"""Options of a run that keep a model fresh, and what they make: trainer, examiner, hooks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import name_settings
from echo_stream.cli.commands.train import train
from echo_stream.cli.options.parameters import Duration, Interval, Share, Size
from echo_stream.cli.options.settings import settings_file
from echo_stream.cli.options.shared import allow_local_modules, option, together
from echo_stream.cli.options.train import recipe_config
from echo_stream.cli.output.output import say
from echo_stream.errors import ConfigError

if TYPE_CHECKING:
    from echo_stream.config import EngineConfig
    from echo_stream.connectors.runner.monitor import RunMonitor
    from echo_stream.connectors.training.examiner import CurrentModelExaminer
    from echo_stream.connectors.training.hooks import Hooks
    from echo_stream.run.runtime import Trainer

retrain_options = together(
    option("--retrain-every", type=Interval(), default="never",
           help="Samples or a time: train --model on a new snapshot, in a process of its own."),
    option("--retrain-on-turnover", type=Share(), metavar="PERCENT",
           help="Train when so much of a snapshot is new since the last training, such as 20%."),
    option("--retrain-on-drift", is_flag=True,
           help="Train when the current model's errors rise, or, without labels, distances."),
    option("--retrain-debounce", type=Duration(), default="1m",
           help="A training for turnover or drift waits so long, for what else asks for one."),
    option("--retrain-refreshed/--no-retrain-refreshed", default=None, show_default=False,
           help="Train on the coreset in cells trained just before, on kept samples; the stream "
                "keeps its own. Default: not under --preset paper."),
    option("--retrain-timeout", type=Duration(), default="never",
           help="Kill a training that takes longer."),
    option("--retrain-memory", type=Size(), metavar="SIZE",
           help="Kill a training that takes more memory, such as 2GiB; default: no limit."),
    option("--retrain-threads", type=click.IntRange(1), default=1,
           help="CPU threads of a training; the others are for ingestion."),
    option("--warm-start/--no-warm-start", default=False,
           help="Begin a training with the weights of the current model, where they fit."),
    option("--holdout", type=click.FloatRange(0, 0.5), default=0.0,
           help="Share of the ids, by hash, that are kept apart to judge new models on."),
    option("--evaluate", is_flag=True,
           help="Test the current model on each labelled sample before learning from it."),
    option("--on-snapshot", metavar="COMMAND",
           help="Run with the path of each new snapshot, without a shell; retried."),
    option("--on-model", metavar="COMMAND", help="Likewise of each new model."),
    option("--hook-timeout", type=Duration(), default="5m",
           help="Kill a command of a hook that takes longer, and try again."),
    option("--manifest-topic", metavar="TOPIC",
           help="Send the manifest of each new snapshot and model there, as JSON."),
)  # fmt: skip


def is_retraining(values: dict[str, Any]) -> bool:
    """Tell whether the options ask for trainings."""
    asked = ("retrain_every", "retrain_on_turnover", "retrain_on_drift")
    return any(values[name] for name in asked)


def trains_on_refreshed(values: dict[str, Any], config: "EngineConfig") -> bool:
    """Tell whether models are trained on the coreset in new cells."""
    asked: bool | None = values["retrain_refreshed"]
    return config.preset != "paper" if asked is None else asked


def examiner_of(state: Path, values: dict[str, Any]) -> "CurrentModelExaminer | None":
    """Return what tests samples on the current model, if the options ask for it."""
    if not (values["evaluate"] or values["retrain_on_drift"]):
        return None
    from echo_stream.connectors.training.examiner import CurrentModelExaminer  # noqa: PLC0415

    allow_local_modules()
    on_drift = values["retrain_on_drift"]
    return CurrentModelExaminer(state / "models", values["model"], on_drift=on_drift)


def hooks_of(state: Path, values: dict[str, Any]) -> "Hooks":
    """Return what delivers new snapshots and models to whom the options name."""
    from echo_stream.connectors.kafka.sink import ProduceConfig  # noqa: PLC0415
    from echo_stream.connectors.training.hook_actions import command_hook, topic_hook  # noqa: PLC0415
    from echo_stream.connectors.training.hooks import Hook, Hooks  # noqa: PLC0415

    hooks: list[Hook] = []
    timeout_s = values["hook_timeout"]
    if values["on_snapshot"] is not None:
        deliver = command_hook(values["on_snapshot"], timeout_s)
        hooks.append(Hook("on-snapshot", "snapshot", deliver))
    if values["on_model"] is not None:
        hooks.append(Hook("on-model", "model", command_hook(values["on_model"], timeout_s)))
    topic = values["manifest_topic"]
    if topic is not None:
        if values["bootstrap_servers"] is None:
            msg = "--manifest-topic needs --bootstrap-servers HOST:PORT"
            raise click.UsageError(msg)
        if topic in values["topics"]:
            msg = f"--manifest-topic must be none of the topics that are read; got {topic!r}"
            raise click.UsageError(msg)
        send = topic_hook(
            ProduceConfig(topic, values["bootstrap_servers"], client=values["client"])
        )
        hooks.append(Hook("topic-snapshot", "snapshot", send))
        hooks.append(Hook("topic-model", "model", send))
    return Hooks(state, hooks)


def child_trainer(
    state: Path,
    values: dict[str, Any],
    monitor: "RunMonitor",
    examiner: "CurrentModelExaminer | None",
) -> "Trainer | None":
    """Return what trains a model on each snapshot that is due for it; None if none ever is."""
    if not is_retraining(values):
        return None
    from echo_stream.connectors.process.child_limits import Limits  # noqa: PLC0415
    from echo_stream.connectors.training.trainer import ChildTrainer  # noqa: PLC0415
    from echo_stream.training.models import check_spec  # noqa: PLC0415

    arguments = _arguments(values)
    # Refused now, not at the first retraining.
    allow_local_modules()
    _check(arguments)
    check_spec(values["model"])

    def trained(result: dict[str, Any]) -> None:
        monitor.training_ended("trained")
        if examiner is not None:
            examiner.reload()
        say(_told(result))

    def failed(reason: str) -> None:
        monitor.training_ended("failed")
        say(reason)

    return ChildTrainer(
        state,
        arguments,
        on_trained=trained,
        on_failed=failed,
        limits=Limits(values["retrain_timeout"], values["retrain_memory"]),
    )


def _told(result: dict[str, Any]) -> str:
    """Return one line on a training; the score on test data is in it where there are any."""
    verdict = result["verdict"]
    kind = "current" if verdict["is_current"] else "a challenger"
    name = "accuracy" if "accuracy" in result else "rmse"
    score = "" if result[name] is None else f", {name} {result[name]:.4g}"
    return (
        f"trained on {result['snapshot']}: {result['labels_used']} labels{score}; "
        f"{result['model']} is {kind}: {verdict['reason']}"
    )


def _check(arguments: list[str]) -> None:
    """Refuse values that `train` would, of its arguments, the settings and the environment."""
    running = click.get_current_context()
    try:
        context = train.make_context("train", list(arguments), parent=running.find_root())
    except click.UsageError as err:
        err.ctx = running  # its usage is what was asked for
        raise
    try:
        recipe_config(context.params)
    except ConfigError as err:
        name_settings(err, context)
        raise


def _arguments(values: dict[str, Any]) -> list[str]:
    """Return the options of `echo-stream train` that a training of this run is given."""
    arguments = ["--model", values["model"], "--train-epochs", str(values["train_epochs"])]
    arguments += ["--threads", str(values["retrain_threads"]), "--promote"]
    arguments += ["--warm-start" if values["warm_start"] else "--no-warm-start"]
    settings = settings_file(click.get_current_context())
    if settings is not None:
        arguments += ["--config", str(settings)]
    if values["train_steps"] is not None:
        arguments += ["--train-steps", str(values["train_steps"])]
    if values["test"] is not None:
        arguments += ["--test", str(values["test"])]
    if values["input_shape"] is not None:
        arguments += ["--input-shape", ",".join(map(str, values["input_shape"]))]
    return arguments
