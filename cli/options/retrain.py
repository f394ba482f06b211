"""Options of a run that keep a model fresh, and what they make: trainer, examiner, hooks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import name_settings
from echo_stream.cli.options.parameters import DURATION, SIZE
from echo_stream.cli.options.settings import settings_file
from echo_stream.cli.options.shared import gathered, option
from echo_stream.cli.options.train import ModelOptions, check_training
from echo_stream.cli.output.output import say
from echo_stream.errors import ConfigError

if TYPE_CHECKING:
    from echo_stream.cli.options.source import SourceOptions
    from echo_stream.connectors.kafka.client_config import ClientConfig
    from echo_stream.connectors.runner.monitor import RunMonitor
    from echo_stream.connectors.training.examiner import CurrentModelExaminer
    from echo_stream.connectors.training.hooks import Hooks
    from echo_stream.run.config import RunConfig
    from echo_stream.run.retraining import Trainer


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """How a run trains models on its snapshots, and how it tests them."""

    retrain_on_drift: bool
    retrain_timeout: float | None
    retrain_memory: int | None
    retrain_threads: int
    warm_start: bool
    holdout: float
    evaluate: bool

    def examiner(self, state: Path, model: ModelOptions) -> "CurrentModelExaminer | None":
        """Return what tests samples on the current model, if the options ask for it."""
        if not (self.evaluate or self.retrain_on_drift):
            return None
        from echo_stream.connectors.training.examiner import CurrentModelExaminer

        return CurrentModelExaminer(state / "models", model.model, on_drift=self.retrain_on_drift)

    def trainer(
        self,
        state: Path,
        model: ModelOptions,
        fields: list[str],
        config: "RunConfig",
        monitor: "RunMonitor",
        examiner: "CurrentModelExaminer | None",
    ) -> "Trainer | None":
        """Return what trains a model on each snapshot that is due for it; None if none ever is.

        fields are options of `train` that say how test data are read.
        """
        if not (config.retrain_every or config.retrain_on_turnover or self.retrain_on_drift):
            return None
        from echo_stream.connectors.process.child_limits import Limits
        from echo_stream.connectors.training.trainer import ChildTrainer
        from echo_stream.training.models import check_spec

        arguments = [*self._arguments(model), *fields]
        # Refused now, not at the first training.
        _check(arguments)
        check_spec(model.model)

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
            limits=Limits(self.retrain_timeout, self.retrain_memory),
        )

    def _arguments(self, model: ModelOptions) -> list[str]:
        """Return the options of `echo-stream train` that a training of this run is given."""
        arguments = ["--model", model.model, "--train-epochs", str(model.train_epochs)]
        arguments += ["--threads", str(self.retrain_threads), "--promote"]
        arguments += ["--warm-start" if self.warm_start else "--no-warm-start"]
        settings = settings_file(click.get_current_context())
        if settings is not None:
            arguments += ["--config", str(settings)]
        if model.train_steps is not None:
            arguments += ["--train-steps", str(model.train_steps)]
        if model.test is not None:
            arguments += ["--test", str(model.test)]
        if model.input_shape is not None:
            arguments += ["--input-shape", ",".join(map(str, model.input_shape))]
        return arguments


retrain_options = gathered(
    "retraining", RetrainOptions,
    option("--retrain-on-drift", is_flag=True,
           help="Train when the errors of the current model rise. Without labels, when distances "
                "rise."),
    option("--retrain-timeout", type=DURATION, default="never",
           help="Kill a training that takes longer."),
    option("--retrain-memory", type=SIZE, metavar="SIZE",
           help="Kill a training that takes more memory, such as 2GiB. Default: no limit."),
    option("--retrain-threads", type=click.IntRange(1), default=1,
           help="CPU threads of a training. The other threads count samples."),
    option("--warm-start/--no-warm-start", default=False,
           help="Start a training from the weights of the current model, where they fit."),
    option("--holdout", type=float, default=0.0,
           help="Share of the ids, chosen by hash, that is held out to evaluate new models on."),
    option("--evaluate", is_flag=True,
           help="Test the current model on each labelled sample before the sample is counted."),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HookOptions:
    """Whom a run tells of new snapshots and models."""

    on_snapshot: str | None
    on_model: str | None
    hook_timeout: float | None
    manifest_topic: str | None

    def hooks(self, state: Path, source: "SourceOptions", client: "ClientConfig") -> "Hooks":
        """Return what delivers new snapshots and models."""
        from echo_stream.connectors.kafka.client import check_topic
        from echo_stream.connectors.kafka.sink import ProduceConfig
        from echo_stream.connectors.training.hooks import (
            Hook,
            Hooks,
            command_hook,
            topic_hook,
        )

        hooks: list[Hook] = []
        if self.on_snapshot is not None:
            deliver = command_hook(self.on_snapshot, self.hook_timeout)
            hooks.append(Hook("on-snapshot", "snapshot", deliver))
        if self.on_model is not None:
            hooks.append(Hook("on-model", "model", command_hook(self.on_model, self.hook_timeout)))
        topic = self.manifest_topic
        if topic is not None:
            if source.bootstrap_servers is None:
                msg = "--manifest-topic needs --bootstrap-servers HOST:PORT"
                raise click.UsageError(msg)
            if topic in source.topics:
                msg = f"--manifest-topic must be none of the topics that are read; got {topic!r}"
                raise click.UsageError(msg)
            check_topic(topic, "manifest_topic")
            send = topic_hook(ProduceConfig(topic, source.bootstrap_servers, client=client))
            hooks.append(Hook("topic-snapshot", "snapshot", send))
            hooks.append(Hook("topic-model", "model", send))
        return Hooks(state, hooks)


hook_options = gathered(
    "hooks", HookOptions,
    option("--on-snapshot", metavar="COMMAND",
           help="Command to run with the path of each new snapshot, without a shell. It is "
                "retried."),
    option("--on-model", metavar="COMMAND",
           help="Command to run with the path of each new model, without a shell. It is retried."),
    option("--hook-timeout", type=DURATION, default="5m",
           help="Kill a command of a hook that takes longer, and retry it."),
    option("--manifest-topic", metavar="TOPIC",
           help="Topic to send the manifest of each new snapshot and model to, as JSON."),
)  # fmt: skip


def _told(result: dict[str, Any]) -> str:
    """Return one line on a training; the score on test data is in it where there are any."""
    verdict = result["verdict"]
    kind = "current" if verdict["is_current"] else "a challenger"
    name = "accuracy" if "accuracy" in result else "rmse"
    score = "" if result[name] is None else f", {name} {result[name]:.4g}"
    guessed = result["pseudo_labelled"]
    more = f", spread over {guessed} samples" if guessed else ""
    return (
        f"trained on {result['snapshot']}: {result['labels_used']} labels{more}{score}; "
        f"{result['model']} is {kind}: {verdict['reason']}"
    )


def _check(arguments: list[str]) -> None:
    """Refuse values that `train` would, of its arguments, the settings and the environment."""
    running = click.get_current_context()
    root = running.find_root()
    assert isinstance(root.command, click.Group)
    train = root.command.commands["train"]
    try:
        context = train.make_context("train", list(arguments), parent=root)
    except click.UsageError as err:
        err.ctx = running  # its usage is what was asked for
        raise
    try:
        check_training(context)
    except ConfigError as err:
        name_settings(err, context)
        raise
