"""What is left of a batch when samples that the features cannot take have been taken out."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.generation.screening import Failure
from echo_stream.samples.changes import Change
from echo_stream.samples.samples import Samples, label_of
from echo_stream.samples.source import Batch, RejectedSample


def without_poison(engine: EchoCoreset, batch: Batch) -> Batch:
    """Return a batch without the samples of which the engine's features fail.

    They are among its rejected ones, as the messages they came in. A message is rejected
    whole: where it holds many samples, the others go with the one that fails.

    Raises
    ------
    InfrastructureError
        If memory or a device is what failed.
    """
    samples = batch.samples
    failures = [] if samples is None else engine.failures(samples)
    if samples is None or not failures:
        return batch
    places = _places(samples, batch)
    # Of the samples of one message the first that fails speaks for all.
    failed = {places[failure.row]: failure for failure in reversed(failures)}
    poison = [
        _rejected(samples, failure, place, batch) for place, failure in sorted(failed.items())
    ]
    is_good = np.array([place not in failed for place in places])
    rejected = sorted([*batch.rejected, *poison], key=lambda letter: letter.place)
    num_messages = batch.num_messages
    if num_messages is None:
        num_messages = len(samples) + len(batch.rejected)
    good = samples[np.flatnonzero(is_good)] if is_good.any() else None
    changes = [_moved(change, is_good) for change in batch.changes]
    return batch._replace(
        samples=good, rejected=rejected, num_messages=num_messages, changes=changes
    )


def _moved(change: Change, is_good: Array) -> Change:
    """Return a change with as many samples before it as are left of them."""
    return change._replace(place=int(is_good[: change.place].sum()))


def _places(samples: Samples, batch: Batch) -> Sequence[int]:
    """Return how many messages of the batch came before each sample's own."""
    if batch.records and samples.origins is not None:
        numbers = {record.origin[:3]: place for place, record in enumerate(batch.records)}
        return [numbers[origin[:3]] for origin in samples.origins]
    taken = {letter.place for letter in batch.rejected}
    free = (place for place in range(len(samples) + len(taken)) if place not in taken)
    return [place for place, _ in zip(free, range(len(samples)), strict=False)]


def _rejected(samples: Samples, failure: Failure, place: int, batch: Batch) -> RejectedSample:
    """Return a sample that fails as the message it came in, or as one that holds it."""
    error = failure.error
    letter = RejectedSample(
        reason="feature",
        message=str(error),
        key=None,
        value=None,
        headers=(),
        origin=None,
        place=place,
        exception=type(error.__cause__ or error).__name__,
    )
    if batch.records and samples.origins is not None:
        record = batch.records[place]
        whole = {"key": record.key, "value": record.value, "headers": tuple(record.headers)}
        return replace(letter, **whole, origin=samples.origins[failure.row])
    origin = None if samples.origins is None else samples.origins[failure.row]
    return replace(letter, **_written(samples, failure.row), origin=origin)


def _written(samples: Samples, row: int) -> Mapping[str, Any]:
    """Return key, value and headers of a message that holds a sample which came in none."""
    sample_id = str(samples.ids[row]).encode()
    label = None if samples.labels is None else label_of(samples.labels[row])
    headers = [("content-type", b"application/x-npy"), ("id", sample_id)]
    if label is not None:
        headers.append(("label", str(label).encode()))
    return {"key": sample_id, "value": _npy(samples.x[row]), "headers": tuple(headers)}


def _npy(x: Array) -> bytes:
    """Return the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, x, allow_pickle=False)
    return file.getvalue()
