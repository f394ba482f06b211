"""STATE/status.json: the status of the run over a state, for other processes."""

import json
import logging
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from echo_stream._common.version import __version__
from echo_stream.connectors.process.clock import now_s, timestamp
from echo_stream.connectors.runner.monitor import RunMonitor
from echo_stream.connectors.runner.status_reader import FORMAT_VERSION
from echo_stream.connectors.storage.durable import opener
from echo_stream.connectors.storage.units import temporary_of

logger = logging.getLogger(__name__)

_WRITE_EVERY_S = 1.0
_RATE_DIGITS = 1


def status_of(monitor: RunMonitor) -> dict[str, Any]:
    """Return everything that is known of a run, as JSON. O(partitions)."""
    report, reading, stats, now = monitor.report, monitor.reading, monitor.stats, now_s()
    lag_records, lag_seconds = reading.lag_records(), reading.lag_seconds(now)
    process = psutil.Process()
    return {
        "format_version": FORMAT_VERSION,
        "phase": monitor.current_phase,
        "why": monitor.why,
        "pid": process.pid,
        "process_started_s": process.create_time(),
        "host": socket.gethostname(),
        "version": __version__,
        "started": monitor.started,
        "updated": timestamp(),
        "updated_s": now,
        "source": monitor.source_name,
        "rate": round(monitor.rate(), _RATE_DIGITS),
        "n": report.n,
        "samples": report.samples,
        "rejected": report.rejected,
        "rejected_by_reason": dict(monitor.rejected),
        "dead_letters_truncated": monitor.stats.dead_letters_truncated,
        "dead_letters_removed": monitor.stats.dead_letters_removed,
        "gaps": report.gaps,
        "replayed": report.replayed,
        "tombstones": report.tombstones,
        **report.change_counts,
        "num_held_out": report.num_held_out,
        "offsets": dict(reading.offsets),
        "lag_records": lag_records,
        "lag_seconds": lag_seconds,
        "lag_records_total": sum(lag_records.values()),
        "lag_seconds_max": max(lag_seconds.values(), default=0.0),
        "checkpoints": report.checkpoints,
        "checkpoint_offsets": dict(monitor.checkpoint_offsets),
        "checkpoint_time_s": monitor.checkpoint_time_s,
        "checkpoint_bytes": stats.checkpoint_bytes,
        "checkpoint_stall_seconds": stats.checkpoint_stall_seconds,
        "checkpoint_failures": stats.checkpoint_failures,
        "queue_records": stats.queue_records,
        "queue_bytes": stats.queue_bytes,
        "queue_peak_bytes": stats.queue_peak_bytes,
        "paused_partitions": stats.paused_partitions,
        "snapshots": len(report.snapshots),
        **_of_the_snapshot(monitor),
        "resident_bytes": process.memory_info().rss,
        "epochs": list(monitor.epochs),
        "is_training": monitor.is_training,
        "retrainings": report.retrainings,
        "trainings": dict(monitor.trainings),
        "inputs": monitor.input_report.to_json(),
        "prequential": monitor.prequential(),
        "http": monitor.http.to_json(),
    }


def _of_the_snapshot(monitor: RunMonitor) -> dict[str, Any]:
    """Return what the newest snapshot says; null where there is none yet."""
    manifest = monitor.snapshot_manifest
    return {
        "snapshot": manifest.get("id"),
        "snapshot_time": manifest.get("time"),
        "snapshot_provisional": manifest.get("provisional"),
        "coreset_size": manifest.get("num_distinct"),
        "num_held": manifest.get("num_held"),
        "certified_fraction": manifest.get("certified_fraction"),
        "coverage_at_least": manifest.get("coverage_at_least"),
        "state_bytes": manifest.get("state_bytes"),
        "state_bytes_bound": manifest.get("state_bytes_bound"),
    }


class StatusFile:
    """Keep a status file up to date, once a second, inside a `with` block.

    The end of the block writes it for the last time, with the reason of the end. A disk
    that refuses is logged once, and does not end the run.

    Parameters
    ----------
    path : Path
        In a folder that exists; only under its lock.
    monitor : RunMonitor
    """

    def __init__(self, path: Path, monitor: RunMonitor) -> None:
        self._path = path
        self._monitor = monitor
        self._over = threading.Event()
        self._is_refused = False
        self._thread = threading.Thread(target=self._keep, name="status-file", daemon=True)

    def __enter__(self) -> Self:
        """Write the file, and begin to keep it."""
        self._write()
        self._thread.start()
        return self

    def __exit__(self, _: object, err: BaseException | None, __: object) -> None:
        """Write for the last time."""
        self.write_last(_why(err) or self._monitor.report.end_reason or "finished")

    def write_last(self, why: str) -> None:
        """Write for the last time, where the process is ended inside the block."""
        self._over.set()
        self._thread.join()
        self._monitor.ended(why)
        self._write()

    def _keep(self) -> None:
        """Write until it is over."""
        while not self._over.wait(_WRITE_EVERY_S):
            self._write()

    def _write(self) -> None:
        """Replace the file as a whole, readable for its owner alone."""
        temporary = temporary_of(self._path)
        content = json.dumps(status_of(self._monitor), indent=2, allow_nan=False) + "\n"
        try:
            with open(temporary, "w", encoding="utf-8", opener=opener) as file:
                file.write(content)
            temporary.replace(self._path)
        except OSError as err:
            if not self._is_refused:
                logger.warning("cannot write %s: %s; the run continues", self._path, err.strerror)
            self._is_refused = True
            with suppress(OSError):  # of the same disk, which has just been logged
                temporary.unlink(missing_ok=True)
        else:
            self._is_refused = False


def _why(err: BaseException | None) -> str | None:
    """Return why an error has ended a run."""
    return None if err is None else str(err) or type(err).__name__
