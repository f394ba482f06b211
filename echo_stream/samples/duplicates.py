"""Samples that take the place of those of their id that are held."""

from collections.abc import Callable, Sequence
from typing import Protocol

from echo_stream.samples.samples import Samples


class Keeper(Protocol):
    """What holds samples, by the ids of which others are replaced."""

    @property
    def room(self) -> int:
        """Return how many samples can be taken in before what is held may change by itself."""

    def __contains__(self, sample_id: str) -> bool:
        """Tell whether a sample of an id is held."""

    def append(self, samples: Samples) -> None:
        """Count samples of which none has the id of another, or of one that is held."""

    def replace(self, sample_id: str) -> None:
        """Take out the samples of an id, since another comes."""


def append_replacing(keeper: Keeper, samples: Samples) -> int:
    """Count samples in their order, each after those of its id that are held are taken out.

    Returns
    -------
    int
        How many were taken in: all, unless there was no more room.

    Notes
    -----
    Whatever batches the samples come in, the same are replaced. O(samples), and what each
    replacement costs.
    """
    names = [str(name) for name in samples.ids.tolist()]
    start = 0
    while start < len(names) and keeper.room > 0:
        stop = min(start + keeper.room, len(names))
        end = start + _num_new(names[start:stop], keeper.__contains__)
        keeper.append(samples[start:end])
        if end < stop:
            keeper.replace(names[end])
        start = end
    return start


def _num_new(names: Sequence[str], is_held: Callable[[str], bool]) -> int:
    """Return how many ids come before the first that is held or has come already."""
    seen: set[str] = set()
    for row, name in enumerate(names):
        if name in seen or is_held(name):
            return row
        seen.add(name)
    return len(names)
