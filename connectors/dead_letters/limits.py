"""How much of invalid messages is stored."""

import json
from dataclasses import dataclass, replace

from echo_stream._common.checks import check_whole
from echo_stream.errors import ConfigError, SettingName
from echo_stream.samples.source import RejectedSample

MAX_PAYLOAD_BYTES = 16 * 1024**2
MAX_FILE_BYTES = 16 * 1024**2
_MAX_WORDS = 2_000  # characters of what was wrong
_LEAST_PAYLOADS = 64  # in all dead letters together, so that a file has room for a few
_FILES = 16  # files that the dead letters of a state are split into, at least


@dataclass(frozen=True, slots=True)
class DeadLetterLimits:
    """Bounds on dead letters.

    Attributes
    ----------
    payload_bytes : int
        Of a value, of a key, and of all headers together, each; what is longer is cut.
    total_bytes : int
        Of the folder that they are kept in; the oldest are removed.
    """

    payload_bytes: int = 512 * 1024  # below what a broker takes by default, with room for the rest
    total_bytes: int = 256 * 1024**2

    def __post_init__(self) -> None:
        """Refuse limits that hold nothing.

        Raises
        ------
        ConfigError
        """
        check_whole("dead_letter_bytes", self.payload_bytes, at_least=1, at_most=MAX_PAYLOAD_BYTES)
        if self.total_bytes < _LEAST_PAYLOADS * max(self.payload_bytes, 1024):
            raise ConfigError(
                SettingName("dead_letters_total"),
                f" must be at least {_LEAST_PAYLOADS} KiB, and {_LEAST_PAYLOADS} times ",
                SettingName("dead_letter_bytes"),
                f"; got {self.total_bytes} and {self.payload_bytes}",
            )

    @property
    def file_bytes(self) -> int:
        """Bytes of a file of dead letters from which on the next one is begun."""
        return min(self.total_bytes // _FILES, MAX_FILE_BYTES)

    def cut(self, dead_letter: RejectedSample) -> tuple[RejectedSample, int | None]:
        """Return what is kept of a message, and the bytes of its whole value; None: all is kept.

        Examples
        --------
        >>> whole = RejectedSample("decode", "no sample", b"k", b"v" * 5, (), None)
        >>> part, size_bytes = DeadLetterLimits(4, 2**16).cut(whole)
        >>> part.value, size_bytes
        (b'vvvv', 5)
        """
        most, size_bytes = self.payload_bytes, len(dead_letter.value or b"")
        headers = [[name, (value or b"").hex()] for name, value in dead_letter.headers]
        kept = replace(
            dead_letter,
            message=dead_letter.message[:_MAX_WORDS],
            key=dead_letter.key and dead_letter.key[:most],
            value=dead_letter.value and dead_letter.value[:most],
            # Half as long as it is written: names may take more than they are long.
            headers=dead_letter.headers if len(json.dumps(headers)) <= 2 * most else (),
        )
        was = dead_letter.key, dead_letter.value, dead_letter.headers
        return kept, None if was == (kept.key, kept.value, kept.headers) else size_bytes
