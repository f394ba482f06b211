"""What a stream brings beside samples: late labels, and ids to forget."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self, TypeAlias

from echo_stream._common.typing import Label
from echo_stream.samples.label_log import LabelLog
from echo_stream.samples.samples import Origin, Samples


class LateLabel(NamedTuple):
    """A label that comes after its sample.

    Attributes
    ----------
    id : str
    label : int, float or str
    place : int
        Samples of the same batch that came before it.
    origin : Origin or None
        Where it stands, if its sample may be in the part of another engine.
    """

    id: str
    label: Label
    place: int = 0
    origin: Origin | None = None


class Forget(NamedTuple):
    """A wish that the samples of an id be taken out.

    Attributes
    ----------
    id : str
    place : int
        Samples of the same batch that came before it.
    origin : Origin or None
        Where it stands, if its sample may be in the part of another engine.
    """

    id: str
    place: int = 0
    origin: Origin | None = None


Change: TypeAlias = LateLabel | Forget
"""What is done to samples that came before it in the stream."""


@dataclass(slots=True)
class Changes:
    """What changes have come since the stream began: how many, and labels for other engines.

    Attributes
    ----------
    num_labelled, num_label_missed : int
        Late labels of ids of which a sample was held, and of others.
    num_replaced : int
        Samples taken out since another of their id came.
    labels : LabelLog
        Labels whose samples may be in the parts of other engines.
    """

    num_labelled: int = 0
    num_label_missed: int = 0
    num_replaced: int = 0
    labels: LabelLog = field(default_factory=LabelLog)

    @property
    def size_bytes(self) -> int:
        """Bytes of the labels."""
        return self.labels.size_bytes

    def merge(self, other: "Changes") -> None:
        """Add the changes of other, which is left unchanged."""
        self.num_labelled += other.num_labelled
        self.num_label_missed += other.num_label_missed
        self.num_replaced += other.num_replaced
        self.labels.merge(other.labels)

    def copy(self) -> "Changes":
        """Return an independent copy."""
        return replace(self, labels=self.labels.copy())

    def note_label(self, late: LateLabel, *, is_met: bool) -> None:
        """Take in a late label, and whether a sample of its id was held."""
        self.count_label(is_met=is_met)
        if late.origin is None:
            self.labels.drop(late.id)
        else:
            self.labels.note(late.id, late.label, late.origin, is_met=is_met)

    def count_label(self, *, is_met: bool) -> None:
        """Count a late label, by whether a sample of its id was held."""
        self.num_labelled += is_met
        self.num_label_missed += not is_met

    def note_met(self, sample_id: str, origin: Origin | None) -> None:
        """Count labels that this engine has missed, and that reach a sample of another one."""
        num_missed = self.labels.met(sample_id, origin)
        self.num_labelled += num_missed
        self.num_label_missed -= num_missed

    def counts(self) -> dict[str, int]:
        """Return how many there have been, named as in a snapshot's manifest."""
        return {name: getattr(self, name) for name in COUNTS}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {**self.counts(), **({"labels": self.labels.to_json()} if self.labels else {})}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the changes that `to_json` wrote."""
        changes = cls(**{name: stored[name] for name in COUNTS if name in stored})
        changes.labels.restore(stored.get("labels", []))
        return changes


COUNTS = ("num_labelled", "num_label_missed", "num_replaced")


def in_order(samples: Samples | None, changes: Sequence[Change]) -> Iterator[Samples | Change]:
    """Yield samples and the changes between them in the order of the stream.

    Examples
    --------
    >>> import numpy as np
    >>> batch = Samples(x=np.zeros((3, 1)), ids=np.arange(3))
    >>> [len(p) if isinstance(p, Samples) else p.id for p in in_order(batch, [Forget("0", 1)])]
    [1, '0', 2]
    """
    start = 0
    for change in changes:
        if samples is not None and change.place > start:
            yield samples[start : change.place]
            start = change.place
        yield change
    if samples is not None and start < len(samples):
        yield samples[start:]
