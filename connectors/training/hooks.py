"""Hooks: deliver each new snapshot and model to a command of the user's, or to a topic.

At least once each, in the order of their ids: what has been delivered is recorded in
`STATE/hooks`; the rest is tried again, after a restart too.
"""

import json
import logging
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Self, TypeAlias

from echo_stream.connectors.kafka.sink import ProduceConfig, produce_messages
from echo_stream.connectors.storage.durable import flush, make_folder, opener
from echo_stream.connectors.storage.state_locks import free_lock
from echo_stream.connectors.storage.unit_locks import read_lock
from echo_stream.connectors.storage.units import MANIFEST, list_units, read_manifest
from echo_stream.connectors.training.model_files import METRICS_FILE
from echo_stream.errors import ConfigError, EchoStreamError, InfrastructureError, StateError

logger = logging.getLogger(__name__)

Kind: TypeAlias = Literal["snapshot", "model"]
_MANIFESTS: dict[Kind, str] = {"snapshot": MANIFEST, "model": METRICS_FILE}

LOOK_SECONDS = 1.0  # between two looks for what is new, unless woken
FIRST_WAIT_S = 1.0  # after a failure; doubled by each
_LONGEST_WAIT_S = 300.0


class Event(NamedTuple):
    """A new snapshot or model.

    Attributes
    ----------
    kind : {"snapshot", "model"}
    unit : Path
        Its folder; the name is its id.
    manifest : dict
        Of a snapshot its manifest, of a model its metrics.
    """

    kind: Kind
    unit: Path
    manifest: dict[str, Any]


class Hook(NamedTuple):
    """What is delivered, and how.

    Attributes
    ----------
    name : str
        Of its ledger file.
    kind : {"snapshot", "model"}
    deliver : callable
        Called with an event and a threading.Event that asks it to give up. Raises an
        EchoStreamError if it is to be tried again.
    """

    name: str
    kind: Kind
    deliver: Callable[[Event, threading.Event], None]


class Hooks:
    """Deliver events of a state in a thread of its own, inside a `with` block.

    A new hook of an old state gets only what is new.

    Parameters
    ----------
    state : Path
    hooks : sequence of Hook
    """

    def __init__(self, state: Path, hooks: Sequence[Hook]) -> None:
        self._queues = [_Queue(state, hook) for hook in hooks]
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="hooks", daemon=True)

    def __enter__(self) -> Self:
        """Begin to deliver."""
        for queue in self._queues:
            queue.begin()
        if self._queues:
            self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """End; after an error at once. The next run delivers what is left."""
        self.finish(None if kind is None else 0.0)

    def finish(self, seconds: float | None) -> None:
        """Try all that is left once, for so long at most; None: as long as it takes."""
        self._closing.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
            self._give_up.set()
            self._thread.join()

    def _keep(self) -> None:
        """Deliver until the end, and once more then."""
        while not self._closing.is_set():
            self._deliver()
            self._woken.wait(LOOK_SECONDS)
        for queue in self._queues:
            queue.retry_now()
        self._deliver()

    def _deliver(self) -> None:
        """Deliver what is due."""
        for queue in self._queues:
            try:
                queue.deliver(self._give_up)
            except StateError as err:
                logger.warning("hook %s failed: %s; will retry", queue.name, err)


class _Queue:
    """What was delivered to one hook, and what is still to be delivered."""

    def __init__(self, state: Path, hook: Hook) -> None:
        self.name = hook.name
        self._hook = hook
        self._units = state / f"{hook.kind}s"
        self._ledger = state / "hooks" / f"{hook.name}.json"
        self._waits: dict[str, tuple[float, float]] = {}  # of what failed: wait, and until when

    def begin(self) -> None:
        """Record what there is already as delivered, if this hook is new."""
        with self._locked() as is_mine:
            if is_mine and not self._ledger.exists():
                self._write({unit.name for unit in self._all()})

    def retry_now(self) -> None:
        """Try again now what failed before."""
        self._waits.clear()

    def deliver(self, give_up: threading.Event) -> None:
        """Deliver what is due, oldest first; a failure holds up no other event."""
        with self._locked() as is_mine:
            delivered = self._read() if is_mine else set()
            for unit in self._all() if is_mine else ():
                if unit.name in delivered or give_up.is_set() or not self._is_due(unit.name):
                    continue
                if self._is_delivered(unit, give_up):
                    delivered.add(unit.name)
                    self._write(delivered)

    def _is_due(self, name: str) -> bool:
        """Return whether a failure is long enough ago."""
        return name not in self._waits or time.monotonic() >= self._waits[name][1]

    def _is_delivered(self, unit: Path, give_up: threading.Event) -> bool:
        """Deliver one event; tell whether it need not be tried again."""
        try:
            with read_lock(unit):
                manifest = read_manifest(unit, manifest_name=_MANIFESTS[self._hook.kind])
                if self._hook.kind == "model" and manifest.get("verdict") is None:
                    return True  # it was trained by hand
                self._hook.deliver(Event(self._hook.kind, unit, manifest), give_up)
        except EchoStreamError as err:
            if not unit.exists():
                logger.warning(
                    "hook %s: %s was pruned before it was delivered", self.name, unit.name
                )
                return True
            self._postpone(unit.name, str(err))
            return False
        logger.info("hook %s: %s was delivered", self.name, unit.name)
        self._waits.pop(unit.name, None)
        return True

    def _postpone(self, name: str, why: str) -> None:
        """Delay the next try of what failed, longer each time."""
        before = self._waits[name][0] if name in self._waits else FIRST_WAIT_S / 2
        wait = min(2 * before, _LONGEST_WAIT_S)
        self._waits[name] = wait, time.monotonic() + wait
        logger.warning("hook %s: %s: %s; next try in %g s", self.name, name, why, wait)

    def _all(self) -> list[Path]:
        """Return all snapshots or models."""
        return list_units(self._units, manifest_name=_MANIFESTS[self._hook.kind])

    def _locked(self) -> AbstractContextManager[bool]:
        """Lock the ledger, unless another member of a group uses it."""
        return free_lock(self._ledger.with_suffix(".lock"))

    def _read(self) -> set[str]:
        """Return the ids that were delivered."""
        try:
            return set(json.loads(self._ledger.read_text(encoding="utf-8"))["delivered"])
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, KeyError, TypeError) as err:
            msg = f"{self._ledger} is damaged: {err}; remove it, and only what is new is delivered"
            raise StateError(msg) from err

    def _write(self, delivered: set[str]) -> None:
        """Record what was delivered, of what is not pruned, atomically and durably."""
        there = {unit.name for unit in self._all()}
        temporary = self._ledger.with_suffix(".new")
        try:
            make_folder(self._ledger.parent)
            with open(temporary, "w", encoding="utf-8", opener=opener) as file:
                json.dump({"delivered": sorted(delivered & there)}, file)
            flush(temporary)
            temporary.replace(self._ledger)
            flush(self._ledger.parent)
        except OSError as err:
            msg = f"cannot write {self._ledger}: {err.strerror}"
            raise StateError(msg) from err


_WAIT_SECONDS = 0.1
_TAIL_BYTES = 4_096  # of a command's output, to find its last line in


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
        if is_late or give_up.wait(_WAIT_SECONDS):
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return f"after {timeout_s:g} s" if is_late else "at the end of the run"
    return None


def _last_line(output: IO[bytes]) -> str:
    """Return the last line of a command's output."""
    output.seek(0, os.SEEK_END)
    output.seek(max(output.tell() - _TAIL_BYTES, 0))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"


def _environment(event: Event) -> dict[str, str]:
    """Return what a command finds in its environment."""
    found = {"ECHO_STREAM_HOOK_ID": event.unit.name, "ECHO_STREAM_HOOK_KIND": event.kind}
    if event.kind == "model":
        verdict = event.manifest.get("verdict") or {}
        found["ECHO_STREAM_HOOK_CURRENT"] = str(int(bool(verdict.get("is_current"))))
    return found
