"""Changes to earlier samples of a stream: late labels, and ids to forget."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self, TypeAlias

from echo_stream._common.typing import Label
from echo_stream.samples.label_log import LabelLog
from echo_stream.samples.samples import Origin, Samples


class LateLabel(NamedTuple):
    """A label that arrives after its sample.

    Attributes
    ----------
    id : str
    label : int, float or str
    place : int
        Samples of the same batch that came before it.
    origin : Origin or None
        Its place in Kafka, if another engine may have counted its sample.
    """

    id: str
    label: Label
    place: int = 0
    origin: Origin | None = None


class Forget(NamedTuple):
    """A request to remove all samples of an id.

    Attributes
    ----------
    id : str
    place : int
        Samples of the same batch that came before it.
    origin : Origin or None
        Its place in Kafka, if another engine may have counted its sample.
    """

    id: str
    place: int = 0
    origin: Origin | None = None


Change: TypeAlias = LateLabel | Forget
"""A change to samples that came before it in the stream."""


@dataclass(slots=True)
class Changes:
    """Numbers of changes since the stream began, and labels for the samples of other engines.

    Attributes
    ----------
    num_labelled, num_label_missed : int
        Late labels of ids with a held sample, and of others.
    num_replaced : int
        Samples replaced by a later one with the same id.
    label_log : LabelLog
        Labels whose samples other engines may have counted.
    """

    num_labelled: int = 0
    num_label_missed: int = 0
    num_replaced: int = 0
    label_log: LabelLog = field(default_factory=LabelLog)

    @property
    def size_bytes(self) -> int:
        """Bytes of the labels."""
        return self.label_log.size_bytes

    def merge(self, other: "Changes") -> None:
        """Add the changes of other, which is left unchanged."""
        self.num_labelled += other.num_labelled
        self.num_label_missed += other.num_label_missed
        self.num_replaced += other.num_replaced
        self.label_log.merge(other.label_log)

    def copy(self) -> "Changes":
        """Return an independent copy."""
        return replace(self, label_log=self.label_log.copy())

    def note_label(self, late: LateLabel, *, is_matched: bool) -> None:
        """Record a late label, and whether a sample of its id was held."""
        self.count_label(is_matched=is_matched)
        if late.origin is None:
            self.label_log.drop(late.id)
        else:
            self.label_log.note(late.id, late.label, late.origin, is_matched=is_matched)

    def count_label(self, *, is_matched: bool) -> None:
        """Count a late label, by whether a sample of its id was held."""
        self.num_labelled += is_matched
        self.num_label_missed += not is_matched

    def count_matched(self, sample_id: str, origin: Origin | None) -> None:
        """Count labels that this engine had missed, and that match a sample of another one."""
        num_missed = self.label_log.mark_matched(sample_id, origin)
        self.num_labelled += num_missed
        self.num_label_missed -= num_missed

    def counts(self) -> dict[str, int]:
        """Return the numbers, named as in a snapshot's manifest."""
        return {name: getattr(self, name) for name in COUNTS}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object."""
        return {
            **self.counts(),
            **({"label_log": self.label_log.to_json()} if self.label_log else {}),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the changes that `to_json` wrote."""
        changes = cls(**{name: stored[name] for name in COUNTS if name in stored})
        changes.label_log.restore(stored.get("label_log", []))
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
