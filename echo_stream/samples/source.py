"""Sources of samples: their interface, and samples in memory as a source."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from echo_stream._common.typing import Array, IntArray
from echo_stream.errors import DataError, FeatureError, SettingName, SourceError, StateError
from echo_stream.samples.changes import Change
from echo_stream.samples.samples import Origin, Samples
from echo_stream.samples.validation import SampleSchema, as_samples

BATCH_SAMPLES = 4_096  # asked of a source at a time when it is read again

RejectReason: TypeAlias = Literal["decode", "schema", "nonfinite", "feature", "batch"]
"""Why a message is invalid: it cannot be decoded, has a wrong shape or dtype, is not finite,
features fail, or it is in a batch that cannot be unpacked."""


@dataclass(frozen=True, slots=True)
class RejectedSample:
    """An invalid message, as it arrived.

    Attributes
    ----------
    reason : {"decode", "schema", "nonfinite", "feature", "batch"}
    message : str
        What is wrong, for people.
    key, value : bytes or None
    headers : tuple of (str, bytes or None)
    origin : Origin or None
        Where in Kafka it came from.
    place : int
        Messages of the same batch, valid and invalid, that came before it; 0 where a source
        does not know.
    exception : str
        Class of the error that was raised; empty where none was.
    last_offset : int or None
        If it represents the messages of a batch: offset of the last; the origin has that of
        the first.
    num_messages : int
        Number of messages that it represents.
    """

    reason: RejectReason
    message: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    origin: Origin | None
    place: int = 0
    exception: str = ""
    last_offset: int | None = None
    num_messages: int = 1


class Failure(NamedTuple):
    """A sample for which features, or an encoder, fail.

    Attributes
    ----------
    row : int
    error : FeatureError
    """

    row: int
    error: FeatureError


class Skipped(NamedTuple):
    """Offsets of a log that were skipped.

    Attributes
    ----------
    gaps : int
        Offsets without a message, or no longer with one: compaction, transactions, retention.
    replayed : int
        Messages that were delivered again, below the next offset, and dropped.
    tombstones : int
        Messages without a value, where these are ignored.
    """

    gaps: int = 0
    replayed: int = 0
    tombstones: int = 0

    def plus(self, other: "Skipped") -> "Skipped":
        """Return the sums of both."""
        return Skipped(*(a + b for a, b in zip(self, other, strict=True)))


def skipped_between(before: Mapping[str, int], after: Mapping[str, int]) -> Skipped:
    """Return what lies between offsets, as a gap; a name that is not in before begins at 0."""
    return Skipped(gaps=sum(max(after[name] - before.get(name, 0), 0) for name in after))


class Batch(NamedTuple):
    """The result of one call of `Source.next_batch`.

    Attributes
    ----------
    samples : Samples or None
        None: nothing yet, or nothing left.
    rejected : sequence of RejectedSample
        In the order of their places. Offsets include these as well.
    skipped : Skipped
    num_messages : int or None
        Valid and invalid. None: one for each sample and each rejected message.
    changes : sequence of LateLabel or Forget
        Changes to samples before them, in the order of their places among the samples.
    records : sequence of records
        The decoded records, with origin, key, value and headers, by place; empty outside
        Kafka.
    """

    samples: Samples | None
    rejected: Sequence[RejectedSample] = ()
    skipped: Skipped = Skipped()
    num_messages: int | None = None
    changes: Sequence[Change] = ()
    records: Sequence[Any] = ()

    @property
    def num_samples(self) -> int:
        """Number of samples."""
        return 0 if self.samples is None else len(self.samples)


class SampleStream(Protocol):
    """What a run reads. Offsets resume after the last sample returned."""

    @property
    def name(self) -> str:
        """Return the name of the source for messages and reports."""

    @property
    def is_exhausted(self) -> bool:
        """Return whether no further sample can come."""

    def next_batch(self, max_samples: int) -> Batch:
        """Return at most max_samples of the next samples.

        If messages have several samples, all of the last message are returned.
        """

    def offsets(self) -> dict[str, int]:
        """Return where the next sample comes from; `json.dumps` takes it."""

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Commit offsets up to which all is stored durably; any thread may call it."""

    def expect(self, schema: SampleSchema) -> None:
        """Raise ShapeError if samples of this source cannot have the schema."""

    def describe(self) -> dict[str, Any]:
        """Return what identifies the source; `json.dumps` takes it.

        Raises StateError if the source has been replaced since it was opened.
        """

    def recognise(self, description: Mapping[str, Any]) -> None:
        """Raise StateError unless `describe` of the same source returned the description."""

    def close(self) -> None:
        """Close connections and files."""


class Source(SampleStream, Protocol):
    """A stream that can be continued from any offsets."""

    @property
    def has_fixed_start(self) -> bool:
        """Return whether it always begins at the same sample."""

    def seek(self, offsets: Mapping[str, int]) -> Skipped:
        """Continue from what `offsets` returned; return what is skipped."""


class Rereadable(Source, Protocol):
    """A source that can be read again from its beginning, any number of times."""

    @property
    def num_samples(self) -> int:
        """Return how many samples there are."""

    def rewind(self) -> None:
        """Go back to the first sample."""

    def x_of(self, rows: IntArray | None) -> Array:
        """Return x of some rows, ascending, or of all; mapped where it may not fit in memory."""


def as_source(given: object) -> Rereadable:
    """Return the given source, or an array, tensor or data frame as a source."""
    if isinstance(given, Samples):
        return ArraySource(given)
    if hasattr(given, "rewind") and hasattr(given, "next_batch"):
        source: Rereadable = given  # type: ignore[assignment]  # by its two main methods
        return source
    return ArraySource(as_samples(given))


def refuse_other_source(stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse to continue with another source than the one counted so far; a file may have moved.

    Raises
    ------
    StateError
    """
    if _without_path(stored) != _without_path(given):
        msg = (
            f"the state has counted {dict(stored)}, but the source is {dict(given)}; give another "
        )
        raise StateError(msg, SettingName("state"))


def _without_path(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return a description without the path."""
    return {name: value for name, value in description.items() if name != "path"}


def read_again(source: Rereadable, num_samples: int) -> Iterator[Samples]:
    """Yield the first num_samples samples of a source, from its beginning.

    Raises
    ------
    DataError
        If a sample is invalid.
    """
    source.rewind()
    missing = num_samples
    while missing > 0 and not source.is_exhausted:
        batch = source.next_batch(min(missing, BATCH_SAMPLES))
        if batch.rejected:
            msg = f"{source.name}: {batch.rejected[0].message}; remove it"
            raise DataError(msg)
        if batch.samples is not None:
            missing -= len(batch.samples)
            yield batch.samples


class ArraySource:
    """Read samples in memory as a source.

    Parameters
    ----------
    samples : Samples
        Batches are views of its columns, not copies.
    name : str, default="array"
    description : mapping, optional
        What identifies the samples. By default their kind and number.

    Examples
    --------
    >>> from echo_stream.samples.validation import as_samples
    >>> source = ArraySource(as_samples([[1.0], [2.0], [3.0]]))
    >>> len(source.next_batch(2).samples), source.offsets()
    (2, {'row': 2})
    >>> len(source.next_batch(2).samples), source.is_exhausted
    (1, True)
    """

    def __init__(
        self,
        samples: Samples,
        *,
        name: str = "array",
        description: Mapping[str, Any] | None = None,
    ) -> None:
        self._samples = samples
        self._row = 0
        self._name = name
        self._description = description or {"kind": "array", "n": len(samples)}

    @property
    def name(self) -> str:
        """Return the name of the source for messages and reports."""
        return self._name

    @property
    def is_exhausted(self) -> bool:
        """Return whether all rows have been returned."""
        return self._row >= len(self._samples)

    def next_batch(self, max_samples: int) -> Batch:
        """Return the next rows, at most max_samples; None after the last. O(1)."""
        if self.is_exhausted:
            return Batch(None)
        rows = slice(self._row, self._row + max_samples)
        samples = self._samples[rows]
        self._row += len(samples)
        return Batch(samples)

    @property
    def has_fixed_start(self) -> bool:
        """Return True: there is one first row."""
        return True

    @property
    def num_samples(self) -> int:
        """Return how many samples there are."""
        return len(self._samples)

    def rewind(self) -> None:
        """Go back to the first row."""
        self._row = 0

    def x_of(self, rows: IntArray | None) -> Array:
        """Return x of some rows, or of all without a copy."""
        return self._samples.x if rows is None else np.asarray(self._samples.x[rows])

    def offsets(self) -> dict[str, int]:
        """Return the number of the next row."""
        return {"row": self._row}

    def seek(self, offsets: Mapping[str, int]) -> Skipped:
        """Continue with the row of earlier offsets.

        Raises
        ------
        SourceError
            The samples do not reach that row.
        """
        row = offsets["row"]
        if not 0 <= row <= len(self._samples):
            msg = f"{self._name} has {len(self._samples)} samples; cannot resume at row {row}"
            raise SourceError(msg)
        self._row = row
        return Skipped()

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Do nothing: offsets of samples in memory are not stored."""

    def expect(self, schema: SampleSchema) -> None:
        """Raise ShapeError unless the samples have the schema."""
        schema.check(self._samples.x)

    def describe(self) -> dict[str, Any]:
        """Return what identifies the samples."""
        return dict(self._description)

    def recognise(self, description: Mapping[str, Any]) -> None:
        """Raise StateError unless the description is of these samples."""
        refuse_other_source(description, self._description)

    def close(self) -> None:
        """Do nothing: the caller owns the memory."""
