"""What all Kafka clients share: time-outs, errors in one line, and their causes."""

import difflib
import errno
import logging
import os
import re
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import (
    CorruptRecordError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NetworkExceptionError,
    NodeNotReadyError,
    RequestTimedOutError,
    StaleMetadata,
)

from echo_stream.connectors.kafka._client_patches.reads import reading_client
from echo_stream.errors import ConfigError, EchoStreamError, SettingName, SourceError

_BOOTSTRAP_TIMEOUT_MS = 10_000
_REQUEST_TIMEOUT_MS = 30_000
RECONNECT_BACKOFF_MAX_MS = 5_000  # the default can sleep half a minute after an outage
_METADATA_MAX_AGE_MS = 30_000  # how soon a new partition or leader is noticed

_MAX_PORT = 65_535
_NAMED_TOPICS = 8  # in an error: a cluster may have thousands
_REFUSAL = re.compile(r"Authentication failed[^()]*|certificate verify failed[^()]*", re.I)
_NO_CONNECTION = re.compile(
    r"KafkaConnectionError: (?:\[Errno )?(\d+\b|DNS Resolution failure|socket disconnected)"
)
_HUNG_UP = "the broker closed the connection; is it up, and is the security protocol right?"
_CAUSES = {
    "DNS Resolution failure": "a name that cannot be resolved; check the servers",
    "socket disconnected": _HUNG_UP,
    str(errno.ECONNRESET): _HUNG_UP,
    str(errno.EPIPE): _HUNG_UP,
}
_NOBODY_ANSWERED = (
    KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError,
    NetworkExceptionError, StaleMetadata,
)  # fmt: skip

COMMON_OPTIONS: dict[str, Any] = {
    "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
    "request_timeout_ms": _REQUEST_TIMEOUT_MS,
    "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MAX_MS,
    "metadata_max_age_ms": _METADATA_MAX_AGE_MS,
    "kafka_client": reading_client,
}


def check_servers(servers: str) -> None:
    """Raise ConfigError unless servers is a list of HOST:PORT with commas between."""
    for server in servers.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) <= _MAX_PORT):
            words = f" must be HOST:PORT, with commas between; got {servers!r}"
            raise ConfigError(SettingName("bootstrap_servers"), words)


def check_topic(topic: str, setting: str) -> None:
    """Raise ConfigError for a name that Kafka does not allow, and that came from a setting."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) or topic in {".", ".."}:
        words = f" must be at most 249 letters, digits, '.', '_' and '-'; got {topic!r}"
        raise ConfigError(SettingName(setting), words)


def unknown_topic(topic: str, servers: str, known: Collection[str]) -> SourceError:
    """Return the error for a topic that is not among those known, which names the nearest."""
    close = difflib.get_close_matches(topic, known, n=1)
    named = sorted(known)[:_NAMED_TOPICS]
    more = f" and {len(known) - len(named)} more" if len(known) > len(named) else ""
    there = f"topics there: {', '.join(named) or 'none'}{more}"
    hint = f"did you mean {close[0]}?" if close else there
    return SourceError(f"topic {topic} does not exist at {servers}; {hint}")


class _LastWarnings(logging.Handler):
    """Keeps the client's last warnings: the reason why a broker does not answer is only there."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: deque[str] = deque(maxlen=1)
        self.refusal: str | None = None
        self.no_connection: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message, and the last ones that tell a cause: others follow them."""
        message = record.getMessage()
        self.messages.append(message)
        if found := _REFUSAL.search(message):
            self.refusal = found[0]
        if found := _NO_CONNECTION.search(message):
            self.no_connection = _cause(found)

    def reason(self, err: Exception) -> str:
        """Return why an error has come, and what to look after."""
        if self.refusal is not None:
            return f"{self.refusal.strip()}; check the login and the certificates"
        if not isinstance(err, _NOBODY_ANSWERED):
            return str(err).partition("\n")[0] or type(err).__name__
        if self.no_connection is not None:
            return self.no_connection
        said = self.messages[-1] if self.messages else str(err)
        return f"{said.splitlines()[0]}; is the broker up?"


def _cause(found: re.Match[str]) -> str:
    """Return why there is no connection, and what to look after."""
    said = found[1]
    return _CAUSES.get(said) or f"{os.strerror(int(said)).lower()}; is the broker up?"


@contextmanager
def errors_for_people(servers: str, doing: str) -> Iterator[None]:
    """Turn an error of the client into a `SourceError` of one line.

    Parameters
    ----------
    servers : str
        The brokers asked, to be named.
    doing : str
        What was tried, such as "read topic events".
    """
    warnings = _LastWarnings()
    try:
        with _listening(warnings):
            yield
    except EchoStreamError:
        raise  # not of the client: samples that a caller reads meanwhile
    except CorruptRecordError as err:
        # What a broker answers by itself has a description alone.
        said = (err.args[0] if err.args else err.description).rstrip(".")
        msg = (
            f"cannot {doing} at {servers}: {said}; start again, and if it happens again, "
            "check the disk of the partition's leader"
        )
        raise SourceError(msg) from err
    except (KafkaError, ValueError) as err:
        msg = f"cannot {doing} at {servers}: {warnings.reason(err)}"
        raise SourceError(msg) from err


@contextmanager
def _listening(warnings: _LastWarnings) -> Iterator[None]:
    """Collect the client's warnings; several threads may do so at once."""
    logger = logging.getLogger("kafka")
    logger.addHandler(warnings)
    try:
        yield
    finally:
        logger.removeHandler(warnings)
