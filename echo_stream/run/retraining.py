"""Models that are trained beside the stream: what trains them, and when that is due."""

import math
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol

from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.samples.samples import Samples


class Trainer(Protocol):
    """What trains models on snapshots beside the stream, one at a time."""

    def start(self, snapshot_id: str) -> bool:
        """Begin to train on a snapshot; False if a training is still under way."""

    def poll(self) -> None:
        """Report a training that has ended. Returns at once."""

    def finish(self, may_wait: Callable[[], bool]) -> None:
        """Wait for the training under way while may_wait() holds; then end it."""


class Examiner(Protocol):
    """What tests samples for drift before they are counted."""

    def examine(self, engine: EchoCoreset, samples: Samples) -> bool:
        """Look at samples that the engine has not counted yet; tell whether they have drifted."""


class RetrainTrigger:
    """When a training is due that no interval asks for: the coreset has turned over, or drift.

    Requests in short succession are answered by one training.

    The first request decides: the training is due `debounce_s` seconds later, and answers all
    requests until then. One that begins for another reason, such as an interval, answers them
    too.

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
    >>> trigger = RetrainTrigger(turnover=0.5, debounce_s=10.0, trained_ids={"a", "b"})
    >>> trigger.look({"a", "c", "d"}, now=0.0)
    >>> trigger.is_asked, trigger.is_due(9.0), trigger.is_due(10.0)
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

    def is_due(self, now: float) -> bool:
        """Return whether a training that was asked for is to begin."""
        return now >= self._due

    def answered(self) -> None:
        """Note that a snapshot to train on is being taken."""
        self._due = math.inf

    def took(self, ids: AbstractSet[str]) -> None:
        """Note that a snapshot of these samples is to be trained on."""
        self._trained_ids, self._due = ids, math.inf


@dataclass(frozen=True, slots=True)
class Retraining:
    """How a run trains models on its snapshots.

    Attributes
    ----------
    trainer : Trainer or None
        None: no model is trained.
    examiner : Examiner or None
        What asks for a training when samples have drifted.
    trigger : RetrainTrigger
        Which trainings are due that no interval asks for.
    """

    trainer: Trainer | None = None
    examiner: Examiner | None = None
    trigger: RetrainTrigger = field(default_factory=RetrainTrigger)
