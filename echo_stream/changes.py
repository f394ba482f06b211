"""What a stream brings beside samples: late labels, and ids to forget."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self, TypeAlias

from echo_stream.samples import Samples
from echo_stream.typing import Label


class LateLabel(NamedTuple):
    """A label that comes after its sample.

    Attributes
    ----------
    id : str
    label : int, float or str
    place : int
        Samples of the same batch that came before it.
    """

    id: str
    label: Label
    place: int = 0


class Forget(NamedTuple):
    """A wish that the samples of an id be taken out.

    Attributes
    ----------
    id : str
    place : int
        Samples of the same batch that came before it.
    """

    id: str
    place: int = 0


Change: TypeAlias = LateLabel | Forget
"""What is done to samples that came before it in the stream."""


@dataclass(slots=True)
class ChangeCounts:
    """How many changes there have been since the stream began.

    Attributes
    ----------
    num_labelled, num_label_missed : int
        Late labels of ids of which a sample was held, and of others.
    num_replaced : int
        Samples taken out since another of their id came.
    """

    num_labelled: int = 0
    num_label_missed: int = 0
    num_replaced: int = 0

    def merge(self, other: "ChangeCounts") -> None:
        """Add the counts of other, which is left unchanged."""
        self.num_labelled += other.num_labelled
        self.num_label_missed += other.num_label_missed
        self.num_replaced += other.num_replaced

    def note_label(self, *, is_met: bool) -> None:
        """Count a late label, by whether a sample of its id was held."""
        self.num_labelled += is_met
        self.num_label_missed += not is_met

    def to_json(self) -> dict[str, int]:
        """Return the counts as a JSON object, named as in a snapshot's manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, counts: dict[str, Any]) -> Self:
        """Return the counts that `to_json` wrote."""
        return cls(**counts)


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
