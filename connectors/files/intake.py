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
_MAX_LEFT_OUT = 100  # names that are kept: who sends messages may make up any number
_MAX_CHARACTERS = 60  # of a name


@dataclass(slots=True)
class Intake:
    """What a source takes of its data.

    Attributes
    ----------
    features : str
        In words.
    names : tuple of str
        Of the features, where they have any.
    label, id : str or None
        In words; None where there are none.
    left_out : dict of str to str
        Names that are not read, and what they are.
    """

    features: str
    label: str | None = None
    id: str | None = None
    names: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    def leave_out(self, names: Sequence[str]) -> None:
        """Note fields of a message that are not read; no more than a hundred names."""
        for name in names:
            if len(self.left_out) < _MAX_LEFT_OUT:
                self.left_out.setdefault(name, "no field of a sample")


class FirstLook:
    """Report once, in a line each, what is used and ignored, and what looks wrong.

    Parameters
    ----------
    tell : callable
        Called with a line, and whether it is a warning.
    """

    def __init__(self, tell: Callable[[str, bool], None]) -> None:
        self._tell = tell
        self._name = ""
        self._intake: Intake | None = None
        self._reported: set[str] = set()
        self._num_samples = self._num_labelled = self._num_label_like = 0
        self._warnings: dict[str, str] = {}

    def intake(self, name: str, intake: Intake | None) -> None:
        """Look at what a source takes; again whenever it may take or leave out more."""
        if intake is None:
            return
        if self._intake is None:
            self._name, self._intake = name, intake
            label, id = intake.label or "nothing", intake.id or "the row number"
            self._tell(
                f"{name}: took {intake.features} as features, {label} as label, {id} as id", False
            )
            for feature in intake.names:
                self._warn_of_label(
                    feature, "the feature {} looks like a label; rename it to label, or leave it "
                    "out of the data",
                )  # fmt: skip
        fresh = {key: why for key, why in intake.left_out.items() if key not in self._reported}
        if fresh:
            self._reported |= fresh.keys()
            self._tell(f"{name}: left out {_listed(fresh)}", False)
            for key in fresh:
                self._warn_of_label(
                    key, "{} looks like a label, and is left out; rename it to label if it is"
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
        intake = self._intake
        return {
            "features": intake.features,
            "label": intake.label,
            "id": intake.id,
            "left_out": dict(intake.left_out),
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
        msg = f"has two {kind} of labels, {' and '.join(found)}; rename or remove one"
        raise DataError(msg)
    return found[0] if found else None


def columns_intake(
    names: tuple[str, ...], label: str | None, id: str | None, left_out: dict[str, str]
) -> Intake:
    """Return what is taken of a table whose columns are features."""
    shown = ", ".join(map(_word, names[:_MAX_NAMES])) + ", …" * (len(names) > _MAX_NAMES)
    count = "1 column" if len(names) == 1 else f"{len(names)} columns"
    return Intake(f"{count} ({shown})", _column(label), _column(id), names, left_out)


def _column(name: str | None) -> str | None:
    return None if name is None else f"column {name}"


def _listed(left_out: dict[str, str]) -> str:
    """Return names and what they are, the first ten."""
    words = [f"{_word(name)} ({_word(why)})" for name, why in list(left_out.items())[:_MAX_NAMES]]
    more = len(left_out) - _MAX_NAMES
    return ", ".join(words + [f"{more} more"] * (more > 0))


def _word(name: str) -> str:
    """Return a name that fits into a line: it may come from anywhere."""
    short = name if len(name) <= _MAX_CHARACTERS else f"{name[:_MAX_CHARACTERS]}…"
    return short if short.isprintable() else ascii(short)
