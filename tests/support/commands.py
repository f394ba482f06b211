"""Run the command line as a user meets it: in this process, or in one of its own.

A process of its own takes seconds to import torch, so it is for what needs one:
signals, locks and start-up.
"""

import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from kafka import KafkaProducer

from echo_stream.cli.main import main
from echo_stream.connectors.runner.status_reader import STATUS_FILE
from echo_stream.connectors.storage.units import list_units, read_manifest
from tests.support.crashes.environment import user_environment
from tests.support.kafka.broker import Broker

TINY = ("--preset", "paper", "--budget", 20, "--epochs", 0)
"""Options under which a few hundred samples take well under a second."""

N = 300
"""Samples that `write_data` writes unless told otherwise."""

VALUES = [row.tobytes() for row in np.random.default_rng(0).normal(size=(20, 2)).astype("<f4")]
"""Messages that `RAW` tells how to read."""

RAW = ("--dtype", "float32", "--shape", 2, "--message-format", "raw")

GOOD = np.arange(4, dtype=np.float32).tobytes()
"""A message that `READ` tells how to read."""

READ = ("--until-end", *TINY, "--dtype", "float32", "--shape", 4)

TOPIC = ("--topic", "events", "--bootstrap-servers", "127.0.0.1:1", "--group", "counters")
"""Options that name a topic where no broker is."""

PROCESS_LIMIT_S = 60.0  # torch alone can take ten seconds to import on a busy machine
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has left behind, as a shell sees it."""

    exit_code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """Return what stdout says; NaN and Infinity are no JSON."""
        return json.loads(self.stdout, parse_constant=_refuse_constant)


def run_command(*arguments: object) -> Result:
    """Run `echo-stream` with the arguments in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["echo-stream", *map(str, arguments)]),
        mock.patch.dict(os.environ, user_environment(), clear=True),
        redirect_stdout(output),
        redirect_stderr(errors),
        _as_found(),
    ):
        code = _exit_code()
    return Result(code, output.getvalue(), errors.getvalue())


def answer(*arguments: object) -> Any:
    """Run a command that has to succeed, and return its JSON."""
    result = run_command(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.json()


def refusal(*arguments: object, exit_code: int) -> str:
    """Run a command that has to be refused, and return the one line that says why."""
    result = run_command(*arguments)
    assert result.exit_code == exit_code, result
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    *before, last = [line for line in lines if not line.startswith(("Note: ", "Warning: "))]
    assert last.startswith("Error: ")
    # Of wrong usage, click also says what usage is right.
    assert not before or (exit_code == 2 and before[0].startswith("Usage: ")), result.stderr
    return last


@contextmanager
def command_process(
    *arguments: object, descriptors: int | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Start a command in a process of its own, which ends with the block at the latest."""
    command = [sys.executable, "-m", "echo_stream", *map(str, arguments)]
    if descriptors is not None:
        command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=user_environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: "subprocess.Popen[str]") -> Result:
    """Wait until a command's process ends."""
    stdout, stderr = process.communicate(timeout=PROCESS_LIMIT_S)
    return Result(process.returncode, stdout, stderr)


def wait_until(is_so: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait until something that another process does has happened."""
    deadline = time.monotonic() + PROCESS_LIMIT_S
    while not is_so():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def silent_broker() -> Iterator[tuple[str, socket.socket]]:
    """Listen like a broker that never answers; yields its address and its socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PROCESS_LIMIT_S)
        yield f"127.0.0.1:{server.getsockname()[1]}", server


def write_data(path: Path, n: int = N, **columns: Any) -> Path:
    """Write a small data file: x of shape (n, 4), float32, and y, one of three classes.

    Parameters
    ----------
    path : Path
        `.npz`, or `.npy` for x alone.
    n : int
    columns
        Arrays that replace or join them; None leaves one out.
    """
    x = np.random.default_rng(7).normal(size=(n, 4)).astype(np.float32)
    if path.suffix == ".npy":
        np.save(path, x)
        return path
    arrays = {"x": x, "y": np.arange(n) % 3, **columns}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def content(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, to be compared with later.

    But for a state's status file: of a run that is refused, it says so.
    """
    found = (path for path in folder.rglob("*") if path.is_file())
    files = [path for path in found if path.name != STATUS_FILE]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def units(folder: Path) -> list[str]:
    """Return the names of the units in a folder, in order; none where there is no folder."""
    return sorted(path.parent.name for path in folder.glob("[!.]*/manifest.json"))


def newest_checkpoint(state: Path) -> dict[str, Any]:
    """Return the manifest of the newest checkpoint; where there is none, that N is 0."""
    found = list_units(state / "checkpoints")
    return read_manifest(found[-1]) if found else {"n": 0}


def on(broker: Broker, *topics: str) -> list[object]:
    """Return the options that name topics on the broker."""
    named = [word for topic in topics for word in ("--topic", topic)]
    return ["--bootstrap-servers", broker.bootstrap, *named]


def send(broker: Broker, topic: str, values: Sequence[bytes | None], **where: Any) -> None:
    """Send plain messages, as a producer that knows nothing of echo-stream does.

    Parameters
    ----------
    broker : Broker
    topic : str
    values : sequence of bytes or None
    where
        `partition` and `timestamp_ms`, as the client takes them.
    """
    with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for value in values:
            # The client sends no tombstone without a key.
            key = b"\xff" if value is None else None
            producer.send(topic, value=value, key=key, **where)
        producer.flush()


@contextmanager
def _as_found() -> Iterator[None]:
    """Give the command a fresh process's logging, and check that it leaves ours alone."""
    root, kafka = logging.getLogger(), logging.getLogger("kafka")
    handlers, level, path = root.handlers[:], root.level, sys.path[:]
    before = [signal.getsignal(number) for number in _SIGNALS], kafka.handlers[:]
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:], sys.path[:] = handlers, path
        root.setLevel(level)
    after = [signal.getsignal(number) for number in _SIGNALS], kafka.handlers[:]
    assert after == before
    assert kafka.propagate


def _exit_code() -> int:
    """Run main and return the exit code that a shell would get."""
    try:
        main()
    except SystemExit as err:
        assert err.code is None or isinstance(err.code, int)
        return err.code or 0
    msg = "main returned, which leaves the exit code to chance"
    raise AssertionError(msg)


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def doctor_findings(*words: object) -> dict[str, dict[str, str]]:
    """Return the findings by check; the exit code has to agree with them."""
    result = run_command("doctor", *words)
    found = {each["check"]: each for each in result.json()}
    fails = any(each["verdict"] == "fail" for each in found.values())
    assert result.exit_code == (1 if fails else 0), result
    assert all(bool(each["advice"]) == (each["verdict"] != "ok") for each in found.values()), found
    return found


def doctor_verdict(found: dict[str, dict[str, str]], check: str) -> tuple[str, str]:
    """Return a verdict, and everything that was said."""
    return found[check]["verdict"], f"{found[check]['found']}; {found[check]['advice']}"
