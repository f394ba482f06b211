"""What an HTTP server beside a run has to say of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

DropReason: TypeAlias = Literal[
    "slow_header", "slow_body", "slow_reader", "crowded", "no_descriptor"
]
"""Why a connection was closed by us: its client took too long to send or to read, another one
needed its place, or the run needs the descriptor."""


@dataclass(slots=True)
class HttpStats:
    """Counters of a server. Written by its thread; any may read.

    Attributes
    ----------
    limit : int
        Connections that there may be at a time; 0: there is no server.
    connections : int
        Those that there are.
    dropped : dict of str to int
        Connections closed before their client did, by reason.
    failures : int
        How often connections could not be accepted, or the server failed and was restarted.
    """

    limit: int = 0
    connections: int = 0
    dropped: dict[DropReason, int] = field(
        default_factory=lambda: dict.fromkeys(get_args(DropReason), 0)
    )
    failures: int = 0

    def to_json(self) -> Mapping[str, Any] | None:
        """Return what a status says of it; None where there is no server."""
        if not self.limit:
            return None
        return {
            "connections": self.connections,
            "limit": self.limit,
            "dropped": dict(self.dropped),
            "failures": self.failures,
        }
