"""A Kafka client that reads its sockets in large pieces, and until the end.

kafka-python asks for 4 KiB at a time. Each time it releases the interpreter's lock, and where
another thread counts it waits for it up to half a millisecond: for messages of 3 KiB that
was what a run waited for most.

What it has read it drops where the end of the connection comes right behind, which is how a
broker refuses a login: it says why, and closes.
"""

from typing import Any

from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager

from echo_stream.connectors.kafka._client_patches.timeouts import Net

_READ_BYTES = 256 * 1024  # at a time; a fetch has megabytes


def reading_client(**config: Any) -> KafkaNetClient:
    """Return a client that reads so: the option `kafka_client` of all clients."""
    net = Net(**config)
    return KafkaNetClient(net=net, manager=_Manager(net, **config))


class _Manager(KafkaConnectionManager):  # type: ignore[misc]  # the client has no types
    """Connections whose sockets are read so."""

    async def _build_transport(self, *arguments: Any, **named: Any) -> Any:
        """Return a transport that is ready to be used."""
        transport = await super()._build_transport(*arguments, **named)
        transport._sock = LargeReads(transport._sock)
        return transport


class LargeReads:
    """A socket that gives as much as there is, however little it is asked for."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._gave = False  # at the last call

    def recv(self, _size: int) -> bytes:
        """Return what has arrived; nothing if the other side has closed.

        Raises
        ------
        BlockingIOError
            If there is no more for now; and once where the end follows what was given, so
            that this is looked at first. The end is still there when the client asks again.
        """
        gave, self._gave = self._gave, False
        received: bytes = self._sock.recv(_READ_BYTES)
        if gave and not received:
            raise BlockingIOError
        self._gave = bool(received)
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
