"""Where the two threads of a run spend their time."""

import cProfile
import pstats
import threading
from pathlib import Path
from types import FrameType

from benchmarks.speed.kafka_rates import Topic, consumed_on, ran
from echo_stream.run.config import RunConfig


def profiles(topic: Topic, state: Path, budget: int, lines: int) -> dict[str, list[str]]:
    """Return the dearest functions of the thread that counts and of the one that polls.

    Each is profiled in a run of its own, which is slower for it. Seconds are of the
    function itself, waiting for the other thread included.
    """
    profile = cProfile.Profile()
    consumed_on(topic, state, budget, RunConfig(last_snapshot=False), on_begin=profile.enable)
    profile.disable()
    return {
        "counts": dearest(profile, lines),
        "polls": dearest(polling_profile(topic, state, budget), lines),
    }


def polling_profile(topic: Topic, state: Path, budget: int) -> cProfile.Profile:
    """Profile the thread that polls, and no other."""
    profile = cProfile.Profile()

    def begin(_frame: FrameType, _event: str, _arg: object) -> None:
        """Hand a thread that has just begun over to the profiler, if it is the one."""
        if threading.current_thread().name == "echo-stream-poller":
            profile.enable()

    threading.setprofile(begin)
    try:
        ran(topic, state, budget)
    finally:
        threading.setprofile(None)
    return profile


def dearest(profile: cProfile.Profile, lines: int) -> list[str]:
    """Return what functions spend themselves, dearest first: seconds, calls, place."""
    stats = pstats.Stats(profile)
    spent = sorted(
        ((each[2], each[1], where) for where, each in stats.stats.items()),  # type: ignore[attr-defined]
        reverse=True,
    )
    return [
        f"{seconds:.3f} s, {calls} calls: {'/'.join(Path(file).parts[-2:])}:{line} {name}"
        for seconds, calls, (file, line, name) in spent[:lines]
    ]
