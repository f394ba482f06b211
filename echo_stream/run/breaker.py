"""When a stream is too bad to go on with: too many of its last messages are no samples."""

from collections import Counter, deque
from collections.abc import Iterable

from echo_stream.errors import BadMessagesError
from echo_stream.samples.source import RejectedSample, RejectReason


class Breaker:
    """Stop a run when more than a share of its last messages are no samples.

    It goes by message, and by nothing else: where it stops does not depend on how the
    messages are cut into batches.

    Parameters
    ----------
    max_share : float
        From 0 (the first bad message in a full window is too many) to 1 (never stop).
    window : int
        Messages that are looked at, the last ones. Nothing is said before there are so many.

    Notes
    -----
    O(1) for each bad message, and nothing for good ones; memory is O(window).

    Examples
    --------
    >>> breaker = Breaker(0.5, window=4)
    >>> illegible = [RejectedSample("decode", "no JSON", None, b"?", (), None, place=place)
    ...              for place in range(3)]
    >>> breaker.update(3, illegible)
    >>> breaker.update(1, [])
    Traceback (most recent call last):
    ...
    echo_stream.errors.BadMessagesError: 3 of the last 4 messages are no samples (decode: 3), \
more than max_bad_share, 0.5; the last for decode: no JSON; all are in the dead letters: mend what \
sends them or how they are read, or raise max_bad_share
    """

    def __init__(self, max_share: float, window: int) -> None:
        self._max_share = max_share
        self._window = window
        self._n = 0
        self._bad: deque[tuple[int, RejectReason]] = deque()  # of the window: number and reason
        self._words: dict[RejectReason, str] = {}  # what was wrong last, for each reason

    def update(self, num_messages: int, rejected: Iterable[RejectedSample]) -> None:
        """Take in the next messages, and those of them that are bad, in order.

        Raises
        ------
        BadMessagesError
            If after any of the messages too many of the last ones were bad.
        """
        start = self._n
        for message in rejected:
            self._pass_good(max(self._n, start + message.place))
            self._bad.append((self._n, message.reason))
            self._words[message.reason] = message.message
            self._n += 1
            self._drop_old()
            if self._n >= self._window:
                self._judge(self._window)
        self._pass_good(start + num_messages)

    def end(self) -> None:
        """Judge a stream that has ended before the window was full: only if all of it is bad.

        Raises
        ------
        BadMessagesError
            If there was not one good message.
        """
        if 0 < self._n == len(self._bad):
            self._judge(self._n)

    def _pass_good(self, n: int) -> None:
        """Move on to the n-th message; all up to it are good."""
        # Good ones only make the share smaller, but they can be what makes the window full.
        if self._n < self._window <= n:
            self._judge(self._window)
        self._n = n
        self._drop_old()

    def _drop_old(self) -> None:
        """Drop what lies before the window."""
        while self._bad and self._bad[0][0] < self._n - self._window:
            self._bad.popleft()

    def _judge(self, num_messages: int) -> None:
        """Raise if too many of the last messages are bad."""
        # Not compared with a product: 0.29 of 100 is less than 29.
        if len(self._bad) / num_messages <= self._max_share:
            return
        reasons = Counter(reason for _, reason in self._bad).most_common()
        commonest = reasons[0][0]
        counts = ", ".join(f"{reason}: {count:,}" for reason, count in reasons)
        msg = (
            f"{len(self._bad):,} of the last {num_messages:,} messages are no samples ({counts}), "
            f"more than max_bad_share, {self._max_share}; the last for {commonest}: "
            f"{self._words[commonest]}; all are in the dead letters: mend what sends them or how "
            "they are read, or raise max_bad_share"
        )
        raise BadMessagesError(msg)
