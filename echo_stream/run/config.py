"""How a run of the consumer behaves: when something is due, and when it ends."""

from dataclasses import dataclass

from echo_stream.errors import ConfigError, SettingName
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
        if not 0 <= self.max_bad_share <= 1:
            raise ConfigError(
                SettingName("max_bad_share"),
                f" must be a number from 0 to 1; got {self.max_bad_share}",
            )
        if self.bad_window < 1:
            raise ConfigError(
                SettingName("bad_window"), f" must be at least 1; got {self.bad_window}"
            )
        if self.keep_snapshots is not None and self.keep_snapshots < 1:
            raise ConfigError(
                SettingName("keep_snapshots"), f" must be at least 1; got {self.keep_snapshots}"
            )
        if self.retrain_on_turnover is not None and not 0 < self.retrain_on_turnover <= 1:
            raise ConfigError(
                SettingName("retrain_on_turnover"),
                f" must be above 0, at most 1; got {self.retrain_on_turnover}",
            )
        if self.shutdown_budget is not None and self.shutdown_budget <= 0:
            raise ConfigError(
                SettingName("shutdown_budget"),
                f" must be more than 0 seconds; got {self.shutdown_budget}",
            )
