"""Every error that echo-stream raises on purpose.

A message says what is wrong, what was given and what to do, in one line. The
command line turns the class into an exit code and prints the line.
"""


class SettingName(str):
    """Name a setting in the message of an error, so that each interface can call it its own way.

    Python calls it `latent_dim`; the command line `--latent-dim`, or the variable or the line
    of the file that the value came from.
    """

    __slots__ = ()


class ScaleWarning(UserWarning):
    """Warn that features differ so much in scale that the largest alone decide what is near."""


class EchoStreamError(Exception):
    """Root of every error that echo-stream raises on purpose.

    Parameters
    ----------
    parts : str
        The message; where it names settings, in parts, and the names as `SettingName`.

    Attributes
    ----------
    parts : tuple of str
        Code that passes the error on may add to them, or put other names for settings.

    Examples
    --------
    >>> str(ConfigError(SettingName("budget"), " must be at least 1; got 0"))
    'budget must be at least 1; got 0'
    """

    def __init__(self, *parts: str) -> None:
        super().__init__("".join(parts))
        self.parts = parts

    def __str__(self) -> str:
        return "".join(self.parts)


class ConfigError(EchoStreamError, ValueError):
    """Report a setting that is out of range, or settings that contradict each other."""


class DataError(EchoStreamError, ValueError):
    """Report samples or a data file that cannot be used as they are."""


class DataTypeError(DataError, TypeError):
    """Report samples that are not an array of numbers: sparse, text, objects, complex numbers."""


class ShapeError(DataError):
    """Report samples whose shape or dtype is not that of the samples before them."""


class FeatureError(DataError):
    """Report samples for which the user's features fail, or do not return one vector each."""


class SourceError(EchoStreamError, OSError):
    """Report a file, broker or topic that is missing or does not answer."""


class InfrastructureError(EchoStreamError, OSError):
    """Report a disk, broker or device that still fails after retries. Nothing was skipped."""


class BadMessagesError(EchoStreamError):
    """Report a stream with too many invalid messages."""


class StateError(EchoStreamError):
    """Report a state folder that is in use, damaged, or of another configuration."""


class FencedError(StateError):
    """Report that another process has taken over the partitions of this one."""


class OffsetsError(StateError):
    """Report an offset that its source no longer has, or one that went back."""


class SnapshotError(StateError):
    """Report a snapshot that does not exist or cannot be read."""


class WarmupError(EchoStreamError, RuntimeError, AttributeError):
    """Report that an engine has no generation yet, so there is nothing to select from.

    An AttributeError too, so that `hasattr(engine, "indices_")` is False until then.
    """


class QueryError(EchoStreamError, ValueError):
    """Report SQL that the database refuses."""


class TrainingError(EchoStreamError, RuntimeError):
    """Report a model that cannot be trained on the samples it was given."""


def first_line(err: BaseException) -> str:
    """Return the first line of an exception's message, to quote it in another message."""
    return (str(err).strip().splitlines() or [type(err).__name__])[0]
