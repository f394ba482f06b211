"""Where memory goes that one thread frees and another one needs."""

import os
import platform
import subprocess
import sys

from benchmarks.speed.fashion_mnist import anonymous_kib
from echo_stream.connectors.process.writers import Writers

THREADS = """
import platform, re, sys, threading
from pathlib import Path
from echo_stream.connectors.process.malloc import keep_freed_memory

NUM_THREADS, PIECES, SIZE = 6, 240, 128 * 1024  # 30 MiB each

if sys.argv[1] == "keep":
    keep_freed_memory()

def anonymous_mib():
    told = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"Anonymous: +(\\d+)", told)[1]) / 1024

def fetch():
    pieces = [bytearray(SIZE) for _ in range(PIECES)]
    kept.append(bytearray(SIZE))  # so that what is below it stays where it is
    del pieces
    done.release()
    is_over.wait()

kept, done, is_over, before = [], threading.Semaphore(0), threading.Event(), anonymous_mib()
for _ in range(NUM_THREADS):  # one after the other, and none ends before the last
    threading.Thread(target=fetch).start()
    done.acquire()
grown = anonymous_mib() - before
is_over.set()
print(platform.libc_ver()[0], grown)
"""
ONE_MIB = 30  # what a thread has at a time
LEFT_MIB = 10  # what all of them keep, and what a process is


def test_freed_memory_is_used_by_other_threads() -> None:
    """Threads that live side by side, and need memory in turns, need it once."""
    libc, grown = grown_mib("keep")
    assert grown < ONE_MIB + LEFT_MIB or libc != "glibc"


def test_threads_keep_what_they_freed_by_themselves() -> None:
    """Without it each of them keeps its own, which is what is to be seen above."""
    libc, grown = grown_mib("leave", {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2)})
    assert grown > 3 * ONE_MIB or libc != "glibc"


def test_writers_give_back_what_lies_between() -> None:
    """What was freed between objects that stay is the system's again once a checkpoint is over."""
    if platform.libc_ver()[0] != "glibc":
        return
    pieces = [bytearray(60_000) for _ in range(4_000)]
    kept = pieces[::8]
    full = anonymous_kib(os.getpid())
    del pieces
    with Writers() as writers:
        writers.submit(len, kept).result()
    assert full - anonymous_kib(os.getpid()) > 100_000
    assert len(kept) == 500


def grown_mib(what: str, environment: dict[str, str] | None = None) -> tuple[str, float]:
    """Return the C library, and what the memory of a process with such threads has grown by."""
    ran = subprocess.run(
        [sys.executable, "-c", THREADS, what],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=True,
    )
    libc, grown = ran.stdout.split()
    return libc, float(grown)
