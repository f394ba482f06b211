"""Waits that run out of time, and leave nothing behind.

kafka-python keeps the error of a wait in a future, and the error keeps the frames that it went
through, and these the future and the answers of brokers that were waited for: megabytes each,
which only the collector of cycles frees. A run that counts more slowly than its topic is written
lets many waits end so, and makes few new objects that would call the collector.
"""

from typing import Any

from kafka.errors import KafkaTimeoutError
from kafka.net.selector import NetworkSelector


class Net(NetworkSelector):  # type: ignore[misc]  # the client has no types
    """The client's event loop; an error that it raises keeps no frames of those who wait."""

    def run(self, coro: Any, *arguments: Any) -> Any:
        """Return what a coroutine returns.

        Raises
        ------
        KafkaTimeoutError
            If it runs out of time.
        """
        try:
            return super().run(coro, *arguments)
        except KafkaTimeoutError as err:
            err.__traceback__ = None
            raise type(err)(*err.args) from None
