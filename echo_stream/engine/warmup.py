"""The warm-up of a stream: samples buffered before there is a generation."""

from typing import Any

from echo_stream._common.typing import State
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.changes import Changes, LateLabel
from echo_stream.samples.duplicates import append_replacing
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.members import members_of
from echo_stream.samples.samples import Origin, Samples
from echo_stream.sketch.state import columns_to_json, samples_from_state, samples_to_arrays


class Warmup:
    """Buffer samples, and apply changes to them as a sketch does.

    Parameters
    ----------
    size : int
        Samples that the warm-up takes.

    Attributes
    ----------
    buffer : SampleBuffer
    forgotten : Forgotten
    changes : Changes
        Samples replaced, and late labels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.buffer = SampleBuffer()
        self.forgotten = Forgotten()
        self.changes = Changes()

    @property
    def n(self) -> int:
        """Samples buffered."""
        return len(self.buffer)

    @property
    def num_arrived(self) -> int:
        """Samples that have arrived: buffered or removed."""
        return self.n + self.forgotten.num_removed + self.changes.num_replaced

    @property
    def room(self) -> int:
        """Samples that the warm-up still takes."""
        return max(self.size - self.n, 0)

    def __contains__(self, sample_id: str) -> bool:
        """Return whether a sample of an id is buffered."""
        return sample_id in self.buffer

    def take(self, samples: Samples, *, replaces: bool) -> int:
        """Buffer samples until the warm-up is full; return how many were buffered."""
        if replaces:
            return append_replacing(self, samples)
        number = min(self.room, len(samples))
        self.append(samples[:number])
        return number

    def append(self, samples: Samples) -> None:
        """Buffer samples."""
        self.buffer.append(samples)

    def replace(self, sample_id: str) -> None:
        """Remove the samples of an id, since another arrives."""
        self.changes.num_replaced += len(members_of(self.buffer.remove(sample_id)))

    def forget(self, sample_id: str, origin: Origin | None = None) -> int:
        """Remove the samples of an id and return their number; origin: see `Forgotten`."""
        removed = members_of(self.buffer.remove(sample_id))
        self.forgotten.add(sample_id, removed, origin)
        self.changes.label_log.drop(sample_id)
        return len(removed)

    def label(self, late: LateLabel) -> bool:
        """Set the label of the samples of an id; return whether any is buffered."""
        is_matched = self.buffer.label(late.id, late.label)
        self.changes.note_label(late, is_matched=is_matched)
        return is_matched

    def copy(self) -> "Warmup":
        """Return an independent copy; payloads, which never change, are shared."""
        copy = Warmup(self.size)
        copy.buffer, copy.changes = self.buffer.copy(), self.changes.copy()
        copy.forgotten.merge(self.forgotten)
        return copy

    def to_state(self) -> State:
        """Return the buffer and the changes as named arrays and JSON."""
        samples = self.buffer.peek()
        meta: dict[str, Any] = {
            "columns": None if samples is None else columns_to_json(samples),
            "forgotten": self.forgotten.to_json(),
            "changes": self.changes.to_json(),
        }
        return {} if samples is None else samples_to_arrays(samples), meta

    def restore(self, state: State) -> None:
        """Restore what `to_state` returned; the warm-up must be empty."""
        arrays, meta = state
        self.forgotten.restore(meta["forgotten"])
        self.changes = Changes.from_json(meta["changes"])
        if meta["columns"] is not None:
            self.buffer = SampleBuffer(samples_from_state(arrays, meta["columns"]))
