"""What is measured of a run while it reads, and what must not grow meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks.streams import ClusterStream
from echo_stream.connectors.kafka_sink import ProduceConfig, produce_samples
from echo_stream.samples import Samples
from echo_stream.validation import as_samples

MIB = 1024**2
WARM_SHARE = 1 / 3  # of a soak: then the state's pools are full, and the allocator's too,
WARM_S = 60.0  # but not earlier than this
GROWTH_MIB = 16  # that memory may gain after it, as a line through all readings says
GROWTH_SHARE = 0.05  # or so much of what it was
MORE_FILES = 4  # a checkpoint and a snapshot that are being written
MANY = 10**9  # more samples than are sent
LAG_S = 15.0  # messages that wait to be counted are sent in so many seconds at most


@dataclass(frozen=True, slots=True)
class Reading:
    """A run at a moment: seconds since the beginning, samples, messages behind, memory, files."""

    seconds: float
    n: int
    lag: int
    rss_bytes: int
    num_files: int


@dataclass(slots=True)
class Readings:
    """The readings of a soak, in their order."""

    all: list[Reading] = field(default_factory=list)

    def read(self, pid: int, seconds: float, n: int, lag: int) -> None:
        """Add what is to be seen of a process now."""
        process = psutil.Process(pid)
        rss, files = process.memory_info().rss, process.num_fds()
        self.all.append(Reading(seconds, n, lag, rss, files))

    @property
    def settled(self) -> list[Reading]:
        """The readings after the warm-up."""
        return self.all[int(len(self.all) * WARM_SHARE) :]

    def check(self) -> None:
        """Check that memory and files are flat, and that the run keeps up.

        Of memory a soak that is not longer than the warm-up says nothing.
        """
        first, last = self.settled[0], self.settled[-1]
        if first.seconds >= WARM_S:
            allowed = max(GROWTH_MIB * MIB, GROWTH_SHARE * first.rss_bytes)
            assert self.growth_bytes() < allowed, self.table()
        middle = len(self.settled) // 2
        before, after = (
            max(each.num_files for each in part)
            for part in (self.settled[:middle], self.settled[middle:])
        )
        assert after <= before + MORE_FILES, self.table()
        rate = last.n / last.seconds
        assert max(each.lag for each in self.settled) < LAG_S * rate, self.table()

    def growth_bytes(self) -> float:
        """Return what memory has gained after the warm-up, by a line through all readings."""
        seconds = [each.seconds for each in self.settled]
        slope = np.polyfit(seconds, [each.rss_bytes for each in self.settled], 1)[0]
        return float(slope * (seconds[-1] - seconds[0]))

    def table(self, num_lines: int = 20) -> str:
        """Return a table of so many readings at even intervals, the last one included."""
        every = max(len(self.all) // num_lines, 1)
        lines = [
            f"{'seconds':>8} {'samples':>11} {'a second':>9} {'lag':>8} {'MiB':>7} {'files':>6}"
        ]
        before = self.all[0]
        for each in self.all[::-1][::every][::-1]:
            rate = (each.n - before.n) / max(each.seconds - before.seconds, 1e-9)
            lines.append(
                f"{each.seconds:8.0f} {each.n:11,} {rate:9,.0f} {each.lag:8,} "
                f"{each.rss_bytes / MIB:7.1f} {each.num_files:6}"
            )
            before = each
        return "\n".join(lines)


class Production:
    """Send samples as fast as it goes, in a thread, until the time is up.

    Parameters
    ----------
    stream : ClusterStream
    config : ProduceConfig
    seconds : float
    """

    def __init__(self, stream: ClusterStream, config: ProduceConfig, seconds: float) -> None:
        self._stream, self._config, self._seconds = stream, config, seconds
        self._sent = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether all has been sent."""
        return not self._thread.is_alive()

    def num_sent(self) -> int:
        """Return how many samples have been sent in all, when all are acknowledged."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._sent

    def _send(self) -> None:
        try:
            self._sent = produce_samples(self._batches(), self._config)
        except BaseException as err:  # for whoever asks
            self._error = err

    def _batches(self) -> Iterator[Samples]:
        deadline = time.monotonic() + self._seconds
        for batch in samples_of(self._stream, MANY):
            if time.monotonic() > deadline:
                return
            yield batch


def samples_of(stream: ClusterStream, stop: int) -> Iterator[Samples]:
    """Yield the samples of a stream up to one, each with its number as its id."""
    row = 0
    for x, _ in stream.batches(0, stop):
        yield as_samples(x, first_row=row)
        row += len(x)


def write_samples(stream: ClusterStream, stop: int, path: Path) -> None:
    """Write x of the same samples as a .npy file, where they are read again."""
    rows = np.lib.format.open_memmap(path, "w+", np.float32, (stop, stream.dim))
    row = 0
    for x, _ in stream.batches(0, stop):
        rows[row : row + len(x)] = x
        row += len(x)
    rows.flush()


def watch(is_over: Callable[[], bool], read: Callable[[float], None], every_s: float) -> None:
    """Read at intervals until something is over."""
    began = time.monotonic()
    while not is_over():
        read(time.monotonic() - began)
        time.sleep(every_s)
