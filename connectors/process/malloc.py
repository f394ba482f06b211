"""How the C library's malloc keeps memory that was freed, which is most of what a run makes."""

import ctypes
import os

_MIB = 1024**2
# By the numbers that glibc's malloc.h has for them.
_OPTIONS = {
    -8: 1,  # M_ARENA_MAX
    -1: 64 * _MIB,  # M_TRIM_THRESHOLD
    -3: 32 * _MIB,  # M_MMAP_THRESHOLD: what glibc itself raises it to at most
}


def keep_freed_memory() -> None:
    """Let glibc's malloc keep what is freed in one place, where every thread finds it again.

    By itself glibc gives each thread an arena of its own, up to eight a core. What a thread
    frees is kept in the arena that it came from, and nobody else can use it: batches are
    fetched by one thread, freed by another one, and written as checkpoints by two more, so
    that memory grew with the number of samples, long after the state had its size.
    With one arena the threads wait for each other no more than for the interpreter.

    Up to 64 MiB at its end are kept for the next batch: the system clears each page that it
    gives out again, and with fetches of megabytes that took longer than to read them.

    For the whole process, and before there are threads. Where malloc is not glibc's, or is set
    by the environment, nothing is set.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _OPTIONS.items():
            mallopt(option, value)


def give_back_freed_memory() -> None:
    """Give pages that lie free between what is in use back to the system, where glibc can.

    After a checkpoint, which is copies: small objects made meanwhile lie between them, so that
    what they leave is not at the end. Takes milliseconds, in which others wait for memory.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
