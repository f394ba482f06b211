"""Results: JSON lines, one a trial, that outlive whatever stops them, and their metrics."""

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from benchmarks.evaluation.trial import VERSION, Trial
from echo_stream.connectors.files.errors import naming
from echo_stream.errors import ConfigError, DataError

Line: TypeAlias = dict[str, Any]
"""What a trial has found, see `benchmarks.evaluation.running.run_trial`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a line, and how it is shown.

    Attributes
    ----------
    words : str
    unit : str
    scale : float
        Makes per cent of shares.
    is_score : bool
        Whether more is better; differences and ranks are of scores alone.
    is_outcome : bool
        Whether it is a score of the model that comes out: others are not won or lost by.
    """

    words: str
    unit: str = "%"
    scale: float = 100.0
    is_score: bool = True
    is_outcome: bool = True


METRICS = {
    "accuracy": Metric("accuracy"),
    "best_accuracy": Metric("best accuracy along the curve", is_outcome=False),
    "balanced_accuracy": Metric("balanced accuracy"),
    "worst_accuracy": Metric("accuracy of the worst class"),
    "rare_recall": Metric("recall of the rarest class"),
    "explained": Metric("variance explained", is_outcome=False),
    "warmup_share": Metric("warm-up", is_score=False),
    "held_share": Metric("payloads held", is_score=False),
    "payloads_held": Metric("most payloads held", "samples", 1.0, is_score=False),
    "num_filled": Metric("chosen at random to fill up", "samples", 1.0, is_score=False),
    "certified_fraction": Metric("certified", is_score=False),
    "regenerations": Metric("new generations", "", 1.0, is_score=False),
    "selection_cpu_s": Metric("processor time", "s", 1.0, is_score=False),
}
"""Numbers of a line, or of what its selector says of itself, by name."""


def read_results(paths: Iterable[Path]) -> dict[str, Line]:
    """Return the lines of some files by key; of one key, the last that has not failed counts.

    A file that is not there has no lines, and a line that a kill has cut short is none.

    Raises
    ------
    DataError
        If a file is not one of results.
    """
    found: dict[str, Line] = {}
    for path in paths:
        if path.exists():
            with naming(path), path.open("rb") as file:
                for line in _whole_lines(file):
                    if line.get("error") is None or line["key"] not in found:
                        found[line["key"]] = line
    return found


def labels_seen(line: Line) -> int:
    """Return how many labels the selector of a line has looked at."""
    return int(line.get("info", {}).get("labels_seen", 0))


def unfinished(trials: Iterable[Trial], known: Mapping[str, Line]) -> list[Trial]:
    """Return the trials that have no line yet, or one that says how they failed."""
    return [t for t in trials if t.key not in known or known[t.key]["error"] is not None]


def failed(trial: Trial, error: str) -> Line:
    """Return the line of a trial that has no result."""
    return {"key": trial.key, "version": VERSION, "trial": asdict(trial), "error": error}


@contextmanager
def appending(path: Path) -> Iterator["Appender"]:
    """Open a file of results for more of them, alone.

    Raises
    ------
    ConfigError
        If another run is writing it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            msg = f"another run is writing {path}; wait for it, or give another --out"
            raise ConfigError(msg) from err
        _drop_torn_end(file)
        yield Appender(file)


class Appender:
    """Writes lines, each at once and whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def append(self, line: Line) -> None:
        """Write one line; it is on its way to the disk when this returns."""
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()


def _whole_lines(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines that end as lines do."""
    for number, text in enumerate(file, start=1):
        if text.endswith(b"\n"):
            yield _line(text, number)


def _line(text: bytes, number: int) -> Line:
    """Return what one line says."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not (isinstance(line, dict) and "key" in line):
        msg = f"line {number} is no result of a trial; take it out, or give another file"
        raise DataError(msg)
    return line


def _drop_torn_end(file: BinaryIO) -> None:
    """Cut off the beginning of a line that a kill has left."""
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
