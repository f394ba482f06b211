"""Free loopback ports for servers that tests start."""

import random
import socket

# Below the ports that Linux gives to outgoing connections: a client that retries while its server
# is down could otherwise be given the server's own port, and connect to itself.
PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return so many different ports that nothing listens on, in random order."""
    # The system's randomness, so that tests that seed ``random`` do not all ask for one port.
    candidates = random.SystemRandom().sample(PORTS, 100 + count)
    return [port for port in candidates if is_free(port)][:count]


def is_free(port: int) -> bool:
    """Return whether a server may listen on this loopback port."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
