"""Read the status of a run from another process, and tell whether it is alive."""

import json
import socket
from pathlib import Path
from typing import Any, Literal, TypeAlias

import psutil

from echo_stream.connectors.process.clock import now_s
from echo_stream.connectors.storage.snapshots import check_state
from echo_stream.errors import StateError

STATUS_FILE = "status.json"
FORMAT_VERSION = 2
_SAME_PROCESS_S = 1.0  # clocks of the kernel give a process's start to a hundredth of a second
_STALE_S = 15.0  # a run writes every second; one that has not for so long hangs, or is gone
_REQUIRED = ("phase", "host", "pid", "process_started_s", "updated_s", "checkpoint_time_s")

Liveness: TypeAlias = Literal["alive", "ended", "died", "never"]
"""Of a run: running, ended in order, crashed, or none so far."""


def read_status(state: Path) -> dict[str, Any]:
    """Return the status of the newest run over a state, and whether it is alive.

    Returns
    -------
    dict
        `liveness`; what the status file holds; `age_s`, seconds since it was written; and
        `checkpoint_age_s`, where this run has written one. Only `liveness`, "never", where
        no run has ever begun.

    Raises
    ------
    SnapshotError
        If there is no state folder.
    StateError
        If the file cannot be read.
    """
    check_state(state)
    return _read(state / STATUS_FILE) or {"liveness": "never"}


def read_members(state: Path) -> list[dict[str, Any]]:
    """Return the status of each member of a group that shares a state, in any order.

    Its name is its "member". Members that have left in order are not among them.

    Raises
    ------
    SnapshotError
        If there is no state folder.
    StateError
        If a file cannot be read.
    """
    check_state(state)
    # Names that begin with a dot are of files that are being written.
    found = {path.stem: _read(path) for path in sorted((state / "members").glob("[!.]*.json"))}
    # Some may have left since they were listed.
    return [{"member": name, **status} for name, status in found.items() if status is not None]


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a status file holds, and its age; None if there is no file."""
    status = _parsed(path)
    if status is None:
        return None
    now, written_s = now_s(), status["checkpoint_time_s"]
    return {
        "liveness": _liveness(status, now),
        **status,
        "age_s": max(now - status["updated_s"], 0.0),
        "checkpoint_age_s": None if written_s is None else max(now - written_s, 0.0),
    }


def is_well(status: dict[str, Any]) -> bool:
    """Return whether the run of a status is alive, and still writes."""
    return status["liveness"] == "alive" and bool(status["age_s"] < _STALE_S)


def _parsed(path: Path) -> dict[str, Any] | None:
    """Return the content of a status file; None where there is none."""
    try:
        status = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as err:
        msg = f"cannot read {path}: {err.strerror}"
        raise StateError(msg) from err
    except ValueError as err:
        msg = f"{path} is damaged: it is not JSON ({err}); the next run replaces it"
        raise StateError(msg) from err
    version = status.get("format_version") if isinstance(status, dict) else None
    if version != FORMAT_VERSION:
        msg = f"{path} has format version {version}; this echo-stream reads {FORMAT_VERSION}"
        raise StateError(msg)
    missing = [name for name in _REQUIRED if name not in status]
    if missing:
        msg = f"{path} is damaged: it has no {missing[0]}; the next run replaces it"
        raise StateError(msg)
    return dict(status)


def _liveness(status: dict[str, Any], now: float) -> Liveness:
    """Return whether the run that wrote a status is alive."""
    if status["phase"] == "stopped":
        return "ended"
    if status["host"] != socket.gethostname():
        return "alive" if now - status["updated_s"] < _STALE_S else "died"
    return "alive" if _is_process(status["pid"], status["process_started_s"]) else "died"


def _is_process(pid: int, started_s: float) -> bool:
    """Return whether a process is alive, and not another one with the same number."""
    try:
        process = psutil.Process(pid)
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        return not is_zombie and abs(process.create_time() - started_s) < _SAME_PROCESS_S
    except psutil.NoSuchProcess:
        return False
