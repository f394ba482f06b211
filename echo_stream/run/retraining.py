"""When a training is due that no interval asks for: the coreset has turned over, or drift."""

import math
from collections.abc import Set as AbstractSet
from typing import Protocol

from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.samples.samples import Samples


class Examiner(Protocol):
    """Who looks at samples before they are counted."""

    def examine(self, engine: EchoCoreset, samples: Samples) -> bool:
        """Look at samples that the engine has not counted yet; tell whether they have drifted."""


class Retraining:
    """Trainings that are asked for, put together where several come in short succession.

    The first that asks decides: the training is due `debounce_s` seconds later, and whatever
    else asks until then has been heard. One that begins for another reason, such as an
    interval, answers all of them.

    Parameters
    ----------
    turnover : float or None
        Share of a snapshot's samples, of (0, 1], that must be others than when a model was
        last trained; None: never.
    debounce_s : float
    trained_ids : set of str, optional
        Of the coreset that was trained on last; None: none was, so that any has turned over.

    Examples
    --------
    >>> retraining = Retraining(turnover=0.5, debounce_s=10.0, trained_ids={"a", "b"})
    >>> retraining.look({"a", "c", "d"}, now=0.0)
    >>> retraining.is_asked, retraining.is_due(9.0), retraining.is_due(10.0)
    (True, False, True)
    """

    def __init__(
        self,
        turnover: float | None = None,
        debounce_s: float = 0.0,
        trained_ids: AbstractSet[str] | None = None,
    ) -> None:
        self._turnover = turnover
        self._debounce_s = debounce_s
        self._trained_ids = trained_ids
        self._due = math.inf

    @property
    def is_asked(self) -> bool:
        """Whether a training has been asked for that has not begun."""
        return self._due < math.inf

    def ask(self, now: float) -> None:
        """Ask for a training."""
        self._due = min(self._due, now + self._debounce_s)

    def look(self, ids: AbstractSet[str], now: float) -> None:
        """Look at a snapshot's samples, and ask for a training if enough are new. O(ids)."""
        if self._turnover is None:
            return
        before = self._trained_ids or frozenset()
        if len(ids - before) >= self._turnover * len(ids):
            self.ask(now)

    def may_take(self, *, is_last: bool) -> bool:
        """Tell whether a snapshot may be trained on that no training has asked for.

        The last one answers what nothing follows to answer; with no debounce, any that has
        turned over is trained on at once.
        """
        if is_last:
            return self.is_asked or self._turnover is not None
        return self._turnover is not None and self._debounce_s == 0

    def is_due(self, now: float) -> bool:
        """Tell whether a training that was asked for is to begin."""
        return now >= self._due

    def answered(self) -> None:
        """Hear that a snapshot to train on is being taken."""
        self._due = math.inf

    def took(self, ids: AbstractSet[str]) -> None:
        """Hear that a snapshot of these samples is to be trained on."""
        self._trained_ids, self._due = ids, math.inf
