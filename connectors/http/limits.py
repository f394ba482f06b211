"""What clients may take of a server's descriptors, memory and time."""

import resource
from dataclasses import dataclass
from typing import Self

MAX_CONNECTIONS = 128
SHARE = 4  # one in so many descriptors is for connections, and as many are never for them
_UNLIMITED = 1_048_576  # descriptors, where the system sets no limit


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take of a server.

    Attributes
    ----------
    connections : int
        At a time.
    descriptors : int
        A connection whose descriptor is not below it is closed at once. A new descriptor is the
        lowest that is free, so all below it are in use then, and the rest is for the run.
    header_s, body_s : float
        From the beginning of a connection, or the end of the answer before, to the end of a
        request's header; and from there to the end of its body.
    idle_s : int
        Between an answer and the first byte of the next request.
    reading_s, read_bytes : float, int
        In each such time a client has to take so many bytes of an answer, or all of it.
    unread_bytes : int
        Answers that wait to be read, of all connections together.
    header_bytes : int
    """

    connections: int
    descriptors: int
    header_s: float = 10.0
    body_s: float = 10.0
    idle_s: int = 5
    reading_s: float = 30.0
    read_bytes: int = 256 * 1024
    unread_bytes: int = 256 * 1024**2
    header_bytes: int = 16 * 1024

    @classmethod
    def of_process(cls) -> Self:
        """Return the limits that leave a process three quarters of its descriptors."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        total = _UNLIMITED if soft == resource.RLIM_INFINITY else soft
        share = total // SHARE
        return cls(max(min(share, MAX_CONNECTIONS), 1), total - share)
