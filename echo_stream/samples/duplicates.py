"""Replace held samples by later ones with the same id."""

from collections.abc import Callable, Sequence
from typing import Protocol

from echo_stream.samples.samples import Samples


class SampleStore(Protocol):
    """A store whose samples can be replaced by id."""

    @property
    def room(self) -> int:
        """Return how many samples can be appended before the held ones may change."""

    def __contains__(self, sample_id: str) -> bool:
        """Return whether a sample of an id is held."""

    def append(self, samples: Samples) -> None:
        """Append samples whose ids are distinct, and not held."""

    def replace(self, sample_id: str) -> None:
        """Remove the samples of an id, since another arrives."""


def append_replacing(store: SampleStore, samples: Samples) -> int:
    """Append samples in order, each after removing the held ones with its id.

    Returns
    -------
    int
        How many were appended: all, unless there was no more room.

    Notes
    -----
    The result does not depend on how samples are split into batches. O(samples), and the cost
    of each replacement.
    """
    names = [str(name) for name in samples.ids.tolist()]
    start = 0
    while start < len(names) and store.room > 0:
        stop = min(start + store.room, len(names))
        end = start + _num_new(names[start:stop], store.__contains__)
        store.append(samples[start:end])
        if end < stop:
            store.replace(names[end])
        start = end
    return start


def _num_new(names: Sequence[str], is_held: Callable[[str], bool]) -> int:
    """Return how many ids precede the first one that is held or repeated."""
    seen: set[str] = set()
    for row, name in enumerate(names):
        if name in seen or is_held(name):
            return row
        seen.add(name)
    return len(names)
