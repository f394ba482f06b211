"""Choose greedily where gains only fall, without computing most of them again."""

import heapq
from collections.abc import Callable, Iterable, Iterator


def lazy_greedy(
    gains: Iterable[float], gain_now: Callable[[int], float | None]
) -> Iterator[tuple[int, float]]:
    """Yield rows with their gains, each time a row with the largest gain; the earlier of equals.

    A gain from before bounds that of now, so only rows at the front are looked at again. Source:
    Minoux (1978).

    Parameters
    ----------
    gains : iterable of float
        Of each row, before any has been chosen.
    gain_now : callable
        Returns what a row would gain beside those that have been yielded, at most what it was
        before; None: the row cannot be chosen any more.

    Examples
    --------
    >>> sets, covered = [{1, 2, 3}, {3, 4}, {1, 2}], set()
    >>> for row, gain in lazy_greedy([3, 2, 2], lambda row: len(sets[row] - covered)):
    ...     covered |= sets[row]
    ...     print(row, gain)
    0 3
    1 1
    2 0
    """
    waiting = [(-gain, row, 0) for row, gain in enumerate(gains)]
    heapq.heapify(waiting)
    num_chosen = 0
    while waiting:
        loss, row, known_at = heapq.heappop(waiting)
        if known_at == num_chosen:
            num_chosen += 1
            yield row, -loss
        elif (gain := gain_now(row)) is not None:
            heapq.heappush(waiting, (-gain, row, num_chosen))
