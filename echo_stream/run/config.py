"""How a run of the consumer behaves: when something is due, and when it ends."""

from dataclasses import dataclass

from echo_stream._common.checks import check_number, check_whole
from echo_stream.run.schedule import Every


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How a run behaves. Nothing here changes the coreset.

    Attributes
    ----------
    checkpoint_every, snapshot_every, retrain_every : Every or None
        None: only at the end (checkpoint and snapshot), or never (retraining).
    max_samples : int or None
        Stop when so many samples have been counted by this run.
    max_bad_share : float
        Stop with an error when more than this share of the last `bad_window` messages were
        invalid, or all of a stream that is shorter; 1: never.
    bad_window : int
    keep_snapshots : int or None
        Snapshots that stay when one is written, besides the pinned; None: all.
    shutdown_budget : float or None
        Seconds from a stop that is asked for to the end; None: no limit. The last snapshot is
        given up when they become short; the last checkpoint never is.
    retrain_on_turnover : float or None
        Train when this share of a snapshot's samples, of (0, 1], are others than when a model
        was last trained; None: never.
    retrain_debounce : float
        Seconds that a training for turnover or drift waits, and takes in what else asks for one.
    last_snapshot : bool
        Whether the end brings a snapshot.
    """

    checkpoint_every: Every | None = None
    snapshot_every: Every | None = None
    retrain_every: Every | None = None
    max_samples: int | None = None
    max_bad_share: float = 0.5
    bad_window: int = 1_000
    keep_snapshots: int | None = None
    shutdown_budget: float | None = 25.0
    retrain_on_turnover: float | None = None
    retrain_debounce: float = 0.0
    last_snapshot: bool = True

    def __post_init__(self) -> None:
        """Refuse settings out of range, naming the setting and what was given."""
        check_number("max_bad_share", self.max_bad_share, at_least=0, at_most=1)
        check_whole("bad_window", self.bad_window, at_least=1)
        for name in ("max_samples", "keep_snapshots"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), at_least=1)
        if self.retrain_on_turnover is not None:
            check_number("retrain_on_turnover", self.retrain_on_turnover, above=0, at_most=1)
        if self.shutdown_budget is not None:
            check_number("shutdown_budget", self.shutdown_budget, above=0)
        check_number("retrain_debounce", self.retrain_debounce, at_least=0)
