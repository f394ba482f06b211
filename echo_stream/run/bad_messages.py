"""Handle invalid messages of a run: split off what cannot be measured, and stop at too many."""

import io
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.errors import BadMessagesError, SettingName
from echo_stream.samples.samples import Samples, label_of
from echo_stream.samples.source import Batch, Failure, RejectedSample, RejectReason


def split_off_failures(batch: Batch, failures: Sequence[Failure]) -> Batch:
    """Split off the samples for which features or an encoder fail, and reject their messages.

    A message is rejected as a whole: if it has several samples, all of them are.
    """
    samples = batch.samples
    if samples is None or not failures:
        return batch
    places = _places(samples, batch)
    # The first failing sample of a message gives the reason.
    failed = {places[failure.row]: failure for failure in reversed(failures)}
    failing = [
        _rejected(samples, failure, place, batch) for place, failure in sorted(failed.items())
    ]
    is_valid = np.array([place not in failed for place in places])
    rejected = sorted([*batch.rejected, *failing], key=lambda dead_letter: dead_letter.place)
    num_messages = batch.num_messages
    if num_messages is None:
        num_messages = len(samples) + len(batch.rejected)
    valid = samples[np.flatnonzero(is_valid)] if is_valid.any() else None
    changes = [  # with as many samples before each as are left of them
        change._replace(place=int(is_valid[: change.place].sum())) for change in batch.changes
    ]
    return batch._replace(
        samples=valid, rejected=rejected, num_messages=num_messages, changes=changes
    )


def _places(samples: Samples, batch: Batch) -> Sequence[int]:
    """Return how many messages of the batch came before each sample's own."""
    if batch.records and samples.origins is not None:
        numbers = {record.origin[:3]: place for place, record in enumerate(batch.records)}
        return [numbers[origin[:3]] for origin in samples.origins]
    taken = {dead_letter.place for dead_letter in batch.rejected}
    free = (place for place in range(len(samples) + len(taken)) if place not in taken)
    return [place for place, _ in zip(free, range(len(samples)), strict=False)]


def _rejected(samples: Samples, failure: Failure, place: int, batch: Batch) -> RejectedSample:
    """Return a failing sample as the message it arrived in, or as a message made of it."""
    error = failure.error
    dead_letter = RejectedSample(
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
        return replace(dead_letter, **whole, origin=samples.origins[failure.row])
    origin = None if samples.origins is None else samples.origins[failure.row]
    return replace(dead_letter, **_written(samples, failure.row), origin=origin)


def _written(samples: Samples, row: int) -> Mapping[str, Any]:
    """Return key, value and headers of a message made of a sample that arrived in none."""
    sample_id = str(samples.ids[row]).encode()
    label = None if samples.labels is None else label_of(samples.labels[row])
    payload = None if samples.payloads is None else samples.payloads[row]
    if payload is None:
        kind, value = b"application/x-npy", _npy(samples.x[row])
    elif isinstance(payload, str):
        kind, value = b"text/plain", payload.encode()
    else:
        kind, value = b"application/octet-stream", payload
    headers = [("content-type", kind), ("id", sample_id)]
    if label is not None:
        headers.append(("label", str(label).encode()))
    return {"key": sample_id, "value": value, "headers": tuple(headers)}


def _npy(x: Array) -> bytes:
    """Return the bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, x, allow_pickle=False)
    return file.getvalue()


class Breaker:
    """Stop a run when more than a share of its last messages are invalid.

    It depends on the messages alone, not on how they are cut into batches.

    Parameters
    ----------
    max_share : float
        From 0 (stop at the first invalid message in a full window) to 1 (never stop).
    window : int
        Number of last messages that are checked. No error before there are so many.

    Notes
    -----
    O(1) for each invalid message, and nothing for valid ones; memory is O(window).

    Examples
    --------
    >>> breaker = Breaker(0.5, window=4)
    >>> invalid = [RejectedSample("decode", "no JSON", None, b"?", (), None, place=place)
    ...              for place in range(3)]
    >>> breaker.update(3, invalid)
    >>> breaker.update(1, [])
    Traceback (most recent call last):
    ...
    echo_stream.errors.BadMessagesError: 3 of the last 4 messages are invalid (decode: 3), \
more than max_bad_share allows, 0.5; the last one (decode): no JSON; all are stored as dead \
letters: fix their producer or the decoding options, or raise max_bad_share
    """

    def __init__(self, max_share: float, window: int) -> None:
        self._max_share = max_share
        self._window = window
        self._n = 0
        self._bad: deque[tuple[int, RejectReason]] = deque()  # of the window: number and reason
        self._words: dict[RejectReason, str] = {}  # what was wrong last, for each reason

    def update(self, num_messages: int, rejected: Iterable[RejectedSample]) -> None:
        """Count the next messages, and the invalid ones of them, in order.

        Raises
        ------
        BadMessagesError
            If after any of the messages too many of the last ones were invalid.
        """
        start = self._n
        for message in rejected:
            self._skip_valid(max(self._n, start + message.place))
            self._bad.append((self._n, message.reason))
            self._words[message.reason] = message.message
            self._n += 1
            self._drop_old()
            if self._n >= self._window:
                self._check(self._window)
        self._skip_valid(start + num_messages)

    def end(self) -> None:
        """Check a stream that has ended before the window was full: only if all is invalid.

        Raises
        ------
        BadMessagesError
            If there was no valid message.
        """
        if 0 < self._n == len(self._bad):
            self._check(self._n)

    def _skip_valid(self, n: int) -> None:
        """Advance to the n-th message; all up to it are valid."""
        # Valid ones only lower the share, but they can fill the window.
        if self._n < self._window <= n:
            self._check(self._window)
        self._n = n
        self._drop_old()

    def _drop_old(self) -> None:
        """Drop messages before the window."""
        while self._bad and self._bad[0][0] < self._n - self._window:
            self._bad.popleft()

    def _check(self, num_messages: int) -> None:
        """Raise if too many of the last messages are invalid."""
        # Not compared with a product: 0.29 of 100 is less than 29.
        if len(self._bad) / num_messages <= self._max_share:
            return
        reasons = Counter(reason for _, reason in self._bad).most_common()
        commonest = reasons[0][0]
        counts = ", ".join(f"{reason}: {count:,}" for reason, count in reasons)
        msg = (
            f"{len(self._bad):,} of the last {num_messages:,} messages are invalid ({counts}), "
            "more than "
        )
        raise BadMessagesError(
            msg,
            SettingName("max_bad_share"),
            f" allows, {self._max_share}; the last one ({commonest}): {self._words[commonest]}; "
            "all are stored as dead letters: fix their producer or the decoding options, or raise ",
            SettingName("max_bad_share"),
        )
