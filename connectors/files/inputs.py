"""What is used of data as features, label and id, what is ignored, and what looks wrong."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from echo_stream.errors import DataError
from echo_stream.samples.samples import Samples, label_of
from echo_stream.samples.scales import ScaleProblem

LABELS = ("label", "y")
"""Names of columns, of arrays, and of fields in JSON, that are the label."""
_LABEL_LIKE = frozenset({"target", "label", "labels", "class", "y"})
LOOK_SAMPLES = 10_000
"""The first samples, of which those with a label are counted."""

_MAX_NAMES = 10  # in a line
_MAX_IGNORED = 100  # names that are kept: who sends messages may make up any number
_MAX_CHARACTERS = 60  # of a name


@dataclass(slots=True)
class Inputs:
    """What a source takes of its data.

    Attributes
    ----------
    features : str
        In words.
    names : tuple of str
        Of the features, where they have any.
    label, id : str or None
        In words; None where there are none.
    ignored : dict of str to str
        Names that are not read, and what they are.
    """

    features: str
    label: str | None = None
    id: str | None = None
    names: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)

    def ignore(self, names: Sequence[str]) -> None:
        """Note fields of a message that are not read; no more than a hundred names."""
        for name in names:
            if len(self.ignored) < _MAX_IGNORED:
                self.ignored.setdefault(name, "no field of a sample")


class InputReport:
    """Report once, in a line each, what is used and ignored, and what looks wrong.

    Parameters
    ----------
    tell : callable
        Called with a line, and whether it is a warning.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        self._tell = tell
        self._name = ""
        self._intake: Inputs | None = None
        self._reported: set[str] = set()
        self._num_samples = self._num_labelled = self._num_label_like = 0
        self._warnings: dict[str, str] = {}

    def inputs(self, name: str, inputs: Inputs | None) -> None:
        """Look at what a source takes; again whenever it may take or leave out more."""
        if inputs is None:
            return
        if self._intake is None:
            self._name, self._intake = name, inputs
            label, id = inputs.label or "nothing", inputs.id or "the row number"
            self._tell(
                f"{name}: using {inputs.features} as features, {label} as label, {id} as id", False
            )
            for feature in inputs.names:
                self._warn_of_label(
                    feature, "the feature {} looks like a label; rename it to label, or leave it "
                    "out of the data",
                )  # fmt: skip
        fresh = {key: why for key, why in inputs.ignored.items() if key not in self._reported}
        if fresh:
            self._reported |= fresh.keys()
            self._tell(f"{name}: ignoring {_listed(fresh)}", False)
            for key in fresh:
                self._warn_of_label(
                    key, "{} looks like a label, and is ignored; rename it to label if it is"
                )

    def samples(self, samples: Samples | None) -> None:
        """Count the labels of the first samples."""
        missing = LOOK_SAMPLES - self._num_samples
        if samples is None or missing <= 0:
            return
        labels = [] if samples.labels is None else samples.labels[:missing].tolist()
        self._num_samples += min(len(samples), missing)
        self._num_labelled += sum(label_of(label) is not None for label in labels)
        if self._num_samples >= LOOK_SAMPLES:
            self.labels()

    def labels(self) -> None:
        """Warn where labels are missing."""
        n, known = self._num_samples, self._num_labelled
        if n and not known:
            self._warn("labels", f"none of the first {n} samples has a label, which `train` needs")
        elif known < n / 2:
            self._warn("labels", f"{n - known} of the first {n} samples have no label")

    def scales(self, found: ScaleProblem | None) -> None:
        """Warn of features of very different scales."""
        if found is not None:
            names = () if self._intake is None else tuple(map(_word, self._intake.names))
            self._warn("scales", f"{found.words(names)}; give --standardise")

    def to_json(self) -> dict[str, Any] | None:
        """Return all of it; None where nothing has been looked at."""
        if self._intake is None:
            return None
        inputs = self._intake
        return {
            "features": inputs.features,
            "label": inputs.label,
            "id": inputs.id,
            "ignored": dict(inputs.ignored),
            "warnings": list(self._warnings.values()),
        }

    def _warn_of_label(self, name: str, words: str) -> None:
        """Warn of a name that looks like a label's; of the first ten."""
        if name.lower() in _LABEL_LIKE and self._num_label_like < _MAX_NAMES:
            self._num_label_like += 1
            self._warn(f"label-like {name}", words.format(_word(name)))

    def _warn(self, kind: str, words: str) -> None:
        """Warn of each kind once."""
        if kind not in self._warnings:
            self._warnings[kind] = words
            self._tell(f"{self._name}: {words}" if self._name else words, True)


def label_among(names: Collection[str], kind: str) -> str | None:
    """Return which column or array, as kind calls them, holds labels; None where there is none.

    Raises
    ------
    DataError
        There are two.
    """
    found = [name for name in LABELS if name in names]
    if len(found) > 1:
        msg = f"has two label {kind}, {' and '.join(found)}; rename or remove one"
        raise DataError(msg)
    return found[0] if found else None


def table_inputs(
    names: tuple[str, ...], label: str | None, id: str | None, ignored: dict[str, str]
) -> Inputs:
    """Return what is taken of a table whose columns are features."""
    shown = ", ".join(map(_word, names[:_MAX_NAMES])) + ", …" * (len(names) > _MAX_NAMES)
    count = "1 column" if len(names) == 1 else f"{len(names)} columns"
    return Inputs(f"{count} ({shown})", _column(label), _column(id), names, ignored)


def _column(name: str | None) -> str | None:
    return None if name is None else f"column {name}"


def _listed(ignored: dict[str, str]) -> str:
    """Return names and what they are, the first ten."""
    words = [f"{_word(name)} ({_word(why)})" for name, why in list(ignored.items())[:_MAX_NAMES]]
    more = len(ignored) - _MAX_NAMES
    return ", ".join(words + [f"{more} more"] * (more > 0))


def _word(name: str) -> str:
    """Return a name that fits into a line: it may come from anywhere."""
    short = name if len(name) <= _MAX_CHARACTERS else f"{name[:_MAX_CHARACTERS]}…"
    return short if short.isprintable() else ascii(short)
