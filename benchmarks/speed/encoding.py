"""What share of a run's time the encoder has: the rest is what counting costs.

Run `python -m benchmarks.speed.encoding MODEL DATA FIELD`, with MODEL the folder of a
sentence-transformers model and DATA a table, such as a .jsonl, whose column FIELD is text.
Prints a line: texts a second of the whole run, from the first text on, and the encoder's share.
"""

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.command import call
from echo_stream._common.typing import Array
from echo_stream.cli.main import cli
from echo_stream.encoders.text import TextEncoder

_MODEL = "ECHO_STREAM_BENCHMARK_MODEL"  # the folder, for `timed`


class Timed:
    """An encoder that notes when it works."""

    def __init__(self, folder: str) -> None:
        self._encoder = TextEncoder(folder)
        self.identity, self.dim = self._encoder.identity, self._encoder.dim
        self.num_texts, self.seconds = 0, 0.0
        self.first = time.perf_counter()

    def __call__(self, payloads: Sequence[Any]) -> Array:
        """Return the vectors of texts."""
        begun = time.perf_counter()
        self.first = begun if not self.num_texts else self.first
        vectors = self._encoder(payloads)
        self.num_texts += len(payloads)
        self.seconds += time.perf_counter() - begun
        return vectors


_made: list[Timed] = []


def __getattr__(name: str) -> Timed:
    """Return the encoder `timed` when it is asked for, made once."""
    if name != "timed":
        raise AttributeError(name)
    if not _made:
        _made.append(Timed(os.environ[_MODEL]))
    return _made[0]


@click.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.argument("field")
def main(*, model: Path, data: Path, field: str) -> None:
    """Run over a table of texts, with checkpoints, and print who had the time."""
    os.environ[_MODEL] = str(model)
    with tempfile.TemporaryDirectory() as state:
        words = ["run", str(data), "--state", state, "--payload-field", field]
        words += ["--encoder", "benchmarks.speed.encoding:timed", "--checkpoint-every", "10s"]
        cli.main(words, standalone_mode=False)
    timed = sys.modules["benchmarks.speed.encoding"].timed  # this module, as the run imports it
    whole = time.perf_counter() - timed.first
    click.echo(
        f"{timed.num_texts} texts, {timed.num_texts / whole:.0f} a second; "
        f"the encoder had {timed.seconds / whole:.0%} of the time"
    )


if __name__ == "__main__":
    call(main)
