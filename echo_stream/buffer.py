"""Samples that wait: a warm-up's, or those of a block that is not full yet."""

import numpy as np

from echo_stream.samples import Samples


class SampleBuffer:
    """Samples of one schema in order of arrival, copied on the way in.

    Examples
    --------
    >>> buffer = SampleBuffer()
    >>> buffer.append(Samples(x=np.zeros((2, 3)), ids=np.arange(2)))
    >>> len(buffer), len(buffer.drain()), len(buffer)
    (2, 2, 0)
    """

    def __init__(self, samples: Samples | None = None) -> None:
        self._parts: list[Samples] = [] if samples is None else [samples]
        self._length = 0 if samples is None else len(samples)

    def __len__(self) -> int:
        """Return the number of samples that wait."""
        return self._length

    @property
    def size_bytes(self) -> int:
        """Bytes of the payloads that wait."""
        return sum(part.x.nbytes for part in self._parts)

    def append(self, samples: Samples) -> None:
        """Take a copy of samples. O(samples), whatever waits already."""
        if len(samples):
            self._parts.append(samples[np.arange(len(samples))])
            self._length += len(samples)

    def first(self) -> Samples | None:
        """Return a batch of what waits, to look at its schema. O(1)."""
        return self._parts[0] if self._parts else None

    def peek(self) -> Samples | None:
        """Return all that waits, as one batch; None if nothing does."""
        if not self._parts:
            return None
        self._parts = [Samples.concatenate(self._parts)]
        return self._parts[0]

    def remove(self, sample_id: str) -> Samples | None:
        """Take out the samples of an id and return them; None if there are none. O(waiting)."""
        waiting = self.peek()
        if waiting is None:
            return None
        is_meant = np.array([str(name) == sample_id for name in waiting.ids])
        if not is_meant.any():
            return None
        self._parts = [waiting[~is_meant]] if not is_meant.all() else []
        self._length -= int(is_meant.sum())
        return waiting[is_meant]

    def drain(self) -> Samples:
        """Return all that waits, as one batch, and be empty. At least one sample must wait."""
        samples = Samples.concatenate(self._parts)
        self._parts, self._length = [], 0
        return samples

    def copy(self) -> "SampleBuffer":
        """Return a buffer with the same samples, which never change."""
        return SampleBuffer(self.peek())
