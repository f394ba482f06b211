"""`echo-stream demo`: the whole story on bundled real data, without Kafka."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.shared import option, seed_option
from echo_stream.cli.output.output import emit, say
from echo_stream.cli.output.watching import watched

if TYPE_CHECKING:
    from echo_stream.connectors.app.demo import Scores

_QUERY = (
    "SELECT label, count(*) AS n FROM coreset WHERE role = 'core' GROUP BY label ORDER BY label"
)


@click.command(cls=Command)
@option(
    "--out", type=click.Path(path_type=Path), default="echo-demo", help="New folder to write to."
)
@option("--budget", type=int, default=60, help="Rows of the coreset.")
@seed_option
def demo(*, out: Path, budget: int, seed: int) -> None:
    """Stream real data into a coreset, query it, train on it and draw it, in a minute.

    The data are the handwritten digits of scikit-learn. They pass through the same engine and
    runtime as those of `run`, but from memory instead of Kafka.

    \b
    Example:
      echo-stream demo --out my-demo
    """
    from echo_stream.connectors.app import demo as story

    say("1. digits arrive one after another; every 500 a snapshot is written")
    with watched(story.STREAM_SAMPLES) as monitor:
        report = story.stream(out, budget=budget, seed=seed, monitor=monitor)
    say(f"   {report.n} samples counted, {len(report.snapshots)} snapshots in {out}/snapshots")

    say("2. a question to the newest snapshot:")
    say(f"   {_QUERY}")
    counts = story.ask(out, _QUERY)
    say("   " + ", ".join(f"{row['label']}: {row['n']}" for row in counts))

    say("3. a model is trained on the coreset, and one on as many random samples")
    scores = story.compare(out, seed=seed)
    _say_scores(scores)

    say("4. the same stream under the paper's preset, whose grid and support can be seen")
    with watched(story.STREAM_SAMPLES) as monitor:
        story.stream(out / "paper", budget=budget, seed=seed, preset="paper", monitor=monitor)
    paper_scores = story.compare(out / "paper", seed=seed)
    _say_scores(paper_scores)
    pictures = [story.draw(out), story.draw(out / "paper")]
    say("   cells, graph, core and support: " + ", ".join(map(str, pictures)))
    presets = {"adaptive": scores, "paper": paper_scores}
    emit(_result(out, report.n, presets, pictures))


def _say_scores(scores: "Scores") -> None:
    """Print both accuracies with the labels that each has used."""
    test = f"on {scores.test_samples} held-out samples"
    say(f"   coreset: {scores.coreset:.1%} {test}, {scores.labels_used} labels used")
    say(f"   random:  {scores.random:.1%} {test}, {scores.labels_used} labels used")


def _result(
    out: Path, n: int, presets: "dict[str, Scores]", pictures: list[Path]
) -> dict[str, Any]:
    """Return the demo's outcome as JSON."""
    return {
        "state": str(out),
        "n": n,
        "presets": {
            name: {
                "accuracy": {"coreset": scores.coreset, "random": scores.random},
                "labels_used": scores.labels_used,
            }
            for name, scores in presets.items()
        },
        "pictures": [str(picture) for picture in pictures],
    }
