"""What is measured of a run while it reads, and what must not grow meanwhile."""

import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks.speed.fashion_mnist import anonymous_kib
from benchmarks.streams import ClusterStream
from echo_stream.connectors.kafka.sink import ProduceConfig, produce_samples
from echo_stream.samples.samples import Samples
from echo_stream.samples.validation import as_samples

MIB = 1024**2
LONG_S = 240.0  # a shorter soak has pools that still fill, and says nothing of slopes
BYTES_PER_SAMPLE = 1.0  # that anonymous memory may gain in the second half,
GROWTH_MIB = 8  # or so much in all: what two lives of one process differ by
WINDOWS = 10  # of the second half; the least of each counts, as checkpoints come and go
HEAP_BYTES = 64 * MIB  # that glibc sets aside, at a multiple, for the arena of a thread
MORE_FILES = 4  # a checkpoint and a snapshot that are being written
MANY = 10**9  # more samples than are sent
AHEAD = 200_000  # samples that are sent before those are counted: the run is never idle


@dataclass(frozen=True, slots=True)
class Reading:
    """A run at a moment: seconds since the beginning, samples, messages behind, memory, files.

    Memory is what no file backs: the rest, libraries above all, the system takes back.
    """

    seconds: float
    n: int
    lag: int
    anonymous_bytes: int
    num_files: int
    num_arenas: int


@dataclass(slots=True)
class Readings:
    """The readings of a soak, in their order."""

    all: list[Reading] = field(default_factory=list)

    def read(self, pid: int, seconds: float, n: int, lag: int) -> None:
        """Add what is to be seen of a process now."""
        files = psutil.Process(pid).num_fds()
        self.all.append(
            Reading(seconds, n, lag, 1024 * anonymous_kib(pid), files, num_thread_arenas(pid))
        )

    @property
    def settled(self) -> list[Reading]:
        """The readings of the second half of the samples."""
        return [each for each in self.all if 2 * each.n >= self.all[-1].n]

    def check(self) -> None:
        """Check that memory and files are flat.

        Of a short soak memory says only that no thread has an arena of malloc to itself: that
        is what made it grow, and growth is seen after minutes. Such an arena stays; heaps that
        come and go keep nothing.
        """
        first, last = self.settled[0], self.settled[-1]
        assert any(each.num_arenas == 0 for each in self.settled), self.table()
        if last.seconds >= LONG_S:
            allowed = max(BYTES_PER_SAMPLE * (last.n - first.n), GROWTH_MIB * MIB)
            assert self.growth_bytes() < allowed, self.table()
        middle = len(self.settled) // 2
        before, after = (
            max(each.num_files for each in part)
            for part in (self.settled[:middle], self.settled[middle:])
        )
        assert after <= before + MORE_FILES, self.table()

    def growth_bytes(self) -> float:
        """Return what memory has gained in the second half, by a line through its windows."""
        windows = [part for part in np.array_split(np.array(self.settled), WINDOWS) if len(part)]
        least = [min(part, key=lambda each: each.anonymous_bytes) for part in windows]
        n = [each.n for each in least]
        if len(set(n)) < 2:
            return 0.0
        slope = np.polyfit(n, [each.anonymous_bytes for each in least], 1)[0]
        return float(slope * (self.settled[-1].n - self.settled[0].n))

    def table(self, num_lines: int = 20) -> str:
        """Return a table of so many readings at even intervals, the last one included."""
        every = max(len(self.all) // num_lines, 1)
        lines = [
            f"{'seconds':>8} {'samples':>11} {'a second':>9} {'lag':>8} {'MiB':>7} {'files':>6} "
            f"{'arenas':>6}"
        ]
        before = self.all[0]
        for each in self.all[::-1][::every][::-1]:
            rate = (each.n - before.n) / max(each.seconds - before.seconds, 1e-9)
            lines.append(
                f"{each.seconds:8.0f} {each.n:11,} {rate:9,.0f} {each.lag:8,} "
                f"{each.anonymous_bytes / MIB:7.1f} {each.num_files:6} {each.num_arenas:6}"
            )
            before = each
        return "\n".join(lines)


class Production:
    """Send samples as fast as they are counted, in a thread, until the time is up.

    Parameters
    ----------
    batches : iterator of Samples
    config : ProduceConfig
    seconds : float
    """

    def __init__(self, batches: Iterator[Samples], config: ProduceConfig, seconds: float) -> None:
        self._all, self._config, self._seconds = batches, config, seconds
        self._sent = 0
        self._counted = 0
        self._more_counted = threading.Condition()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether all has been sent."""
        return not self._thread.is_alive()

    def note(self, counted: int) -> None:
        """Take note of how many samples have been counted."""
        with self._more_counted:
            self._counted = counted
            self._more_counted.notify()

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
        given = 0
        for batch in self._all:
            with self._more_counted:
                while given > self._counted + AHEAD:
                    if not self._more_counted.wait(max(deadline - time.monotonic(), 0)):
                        return
            if time.monotonic() > deadline:
                return
            given += len(batch)
            yield batch


def num_thread_arenas(pid: int) -> int:
    """Return how many heaps of glibc's malloc there are that belong to the arenas of threads.

    Each is memory in use and, right behind it, what is set aside for it. Other allocators, such
    as Arrow's, have regions of the same size; a heap begins with its own description.
    """
    found, used = 0, (0, 0)
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, access, _, _, inode, *_ = line.split()
        start, end = (int(address, 16) for address in place.split("-"))
        is_behind = access == "---p" and inode == "0" and used[1] == start
        is_alike = is_behind and used[0] % HEAP_BYTES == 0 and end - used[0] == HEAP_BYTES
        found += is_alike and is_heap(pid, *used)
        used = (start, end) if access == "rw-p" else (0, 0)
    return found


def is_heap(pid: int, start: int, end: int) -> bool:
    """Return whether memory in use begins as `heap_info` of glibc's malloc/arena.c does.

    Its first words are the arena, the heap before, the bytes in use, and those that can be used.
    """
    try:
        with Path(f"/proc/{pid}/mem").open("rb") as memory:
            memory.seek(start)
            words: tuple[int, int, int, int] = struct.unpack("4Q", memory.read(32))
    except OSError:  # it has been unmapped meanwhile
        return False
    arena, _, in_use, usable = words
    return arena != 0 and 0 < in_use <= usable == end - start


def samples_of(stream: ClusterStream, stop: int, num_ids: int) -> Iterator[Samples]:
    """Yield the samples of a stream up to one; ids are their numbers, and begin again."""
    row = 0
    for x, _ in stream.batches(0, stop):
        yield as_samples(x, ids=np.arange(row, row + len(x)) % num_ids)
        row += len(x)


def write_samples(batches: Iterator[Samples], stop: int, dim: int, path: Path) -> None:
    """Write so many samples as a .npz file, where they are read again."""
    rows = np.lib.format.open_memmap(path.with_suffix(".npy"), "w+", np.float32, (stop, dim))
    ids = np.empty(stop, np.int64)
    row = 0
    for batch in batches:
        rows[row : row + len(batch)], ids[row : row + len(batch)] = batch.x, batch.ids
        row += len(batch)
    np.savez(path, x=rows, id=ids)


def watch(is_over: Callable[[], bool], read: Callable[[float], None], every_s: float) -> None:
    """Read at intervals until something is over."""
    began = time.monotonic()
    while not is_over():
        read(time.monotonic() - began)
        time.sleep(every_s)
