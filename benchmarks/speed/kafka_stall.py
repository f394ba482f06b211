"""What checkpoints hold a run up for."""

import os
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.speed.kafka_rates import Topic, consumed_on
from echo_stream.run.config import RunConfig
from echo_stream.run.schedule import Every

EVERY_S = 1.0


def stalls(topic: Topic, state: Path, budget: int, repeats: int) -> dict[str, Any]:
    """Return milliseconds between batches, of runs with checkpoints each second and without.

    `freeze` is the longest that copying the state took on the run's own thread.
    """
    gaps: dict[str, list[float]] = {"with": [], "without": []}
    typical, freezes, number = [], [], 0
    for _ in range(repeats):
        for name, every in (("with", Every(seconds=EVERY_S)), ("without", None)):
            config = RunConfig(checkpoint_every=every, last_snapshot=False)
            watch = consumed_on(topic, state, budget, config)
            between = [1_000 * (later - earlier) for earlier, later in pairwise(watch.times)]
            gaps[name].append(max(between))
            if every is not None:
                number += watch.report.checkpoints - 1
                freezes.append(1_000 * watch.stats.max_checkpoint_stall_seconds)
            else:
                typical.append(statistics.median(between))
    return {
        "messages": topic.messages,
        "checkpoints": number,
        "freeze_ms": round(statistics.median(freezes), 1),
        "freeze_max_ms": round(max(freezes), 1),
        "longest_gap_ms": {name: round(statistics.median(each)) for name, each in gaps.items()},
        "usual_gap_ms": round(statistics.median(typical)),
        "load": round(os.getloadavg()[0], 2),
    }
