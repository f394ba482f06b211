"""What a hook does: run a command, or send a manifest to a topic."""

import json
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO

from echo_stream.connectors.kafka.sink import ProduceConfig, produce_messages
from echo_stream.connectors.training.hooks import Event
from echo_stream.errors import ConfigError, InfrastructureError

LOOK_SECONDS = 0.1
TAIL_BYTES = 4_096  # of a command's output, to find its last line in


def command_hook(command: str, timeout_s: float | None) -> Callable[[Event, threading.Event], None]:
    """Return a hook that runs a command, without a shell, with the path of the snapshot or model.

    The path is the last argument; `ECHO_STREAM_HOOK_ID` and `ECHO_STREAM_HOOK_KIND` are in
    its environment, and for a model `ECHO_STREAM_HOOK_CURRENT`: 1 if it is the current one.

    Raises
    ------
    ConfigError
        If the command cannot be split into words, or is empty.
    """
    try:
        words = shlex.split(command)
    except ValueError as err:
        msg = f"a hook's command must be words, quoted as in a shell; got {command!r} ({err})"
        raise ConfigError(msg) from err
    if not words:
        msg = "a hook's command must not be empty"
        raise ConfigError(msg)
    return lambda event, give_up: _run(words, event, timeout_s, give_up)


def topic_hook(config: ProduceConfig) -> Callable[[Event, threading.Event], None]:
    """Return a hook that sends a manifest as JSON, its id as the key, its kind as a header."""

    def send(event: Event, _: threading.Event) -> None:
        value = json.dumps(event.manifest).encode()
        headers = [("kind", event.kind.encode()), ("content-type", b"application/json")]
        produce_messages([(event.unit.name.encode(), value, headers)], config)

    return send


def _run(words: list[str], event: Event, timeout_s: float | None, give_up: threading.Event) -> None:
    """Run a command to its end, or raise InfrastructureError."""
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                [*words, str(event.unit.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | _environment(event),
                start_new_session=True,  # its children too can be ended
            )
        except OSError as err:
            msg = f"cannot run {words[0]}: {err.strerror}"
            raise InfrastructureError(msg) from err
        killed = _wait(child, timeout_s, give_up)
        if killed is not None:
            msg = f"{words[0]} was killed {killed}"
            raise InfrastructureError(msg)
        if child.returncode != 0:
            msg = f"{words[0]} ended with exit code {child.returncode}: {_last_line(output)}"
            raise InfrastructureError(msg)


def _wait(
    child: "subprocess.Popen[bytes]", timeout_s: float | None, give_up: threading.Event
) -> str | None:
    """Wait for a command; return why it was killed, if it was."""
    started = time.monotonic()
    while child.poll() is None:
        is_late = timeout_s is not None and time.monotonic() - started > timeout_s
        if is_late or give_up.wait(LOOK_SECONDS):
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return f"after {timeout_s:g} s" if is_late else "at the end of the run"
    return None


def _last_line(output: IO[bytes]) -> str:
    """Return the last line of a command's output."""
    output.seek(0, os.SEEK_END)
    output.seek(max(output.tell() - TAIL_BYTES, 0))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _environment(event: Event) -> dict[str, str]:
    """Return what a command finds in its environment."""
    found = {"ECHO_STREAM_HOOK_ID": event.unit.name, "ECHO_STREAM_HOOK_KIND": event.kind}
    if event.kind == "model":
        verdict = event.manifest.get("verdict") or {}
        found["ECHO_STREAM_HOOK_CURRENT"] = str(int(bool(verdict.get("is_current"))))
    return found
