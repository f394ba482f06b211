"""A thousand reads while a consumer on a real broker writes fifty snapshots and prunes them."""

import io
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue

import numpy as np
from kafka import KafkaProducer

from tests.support.commands import TINY, command_process, finish, on, wait_until
from tests.support.http.rig import Answer, ask
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

SNAPSHOTS = 50
EACH = 40  # samples from one snapshot to the next
READS = 1_000
READERS = 4
KINDS = ("rows", "cells", "rows", "cells", "file")
KEPT = 4


def messages(first: int, number: int) -> list[bytes]:
    """Return samples as JSON, each unlike all others."""
    rng = np.random.default_rng(first)
    return [json.dumps({"x": x}).encode() for x in rng.normal(size=(number, 3)).tolist()]


class Reader:
    """Ask for coresets whenever a read is due; every answer has to fit together."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/api/v1"
        self.due: Queue[str | None] = Queue()
        self.seen: Counter[str] = Counter()  # reads by snapshot

    def read(self) -> None:
        """Read what is due, until it is over."""
        kinds = {"rows": self.check_rows, "cells": self.check_cells, "file": self.check_file}
        while (kind := self.due.get()) is not None:
            self.seen[kinds[kind]()] += 1

    def check_rows(self) -> str:
        """Check that the weights of the rows sum to N, which the id begins with."""
        page = self.asked("coreset?limit=1000").json()
        weights = [row["weight"] for row in page["rows"]]
        assert len(weights) == page["total"]
        assert math.isclose(math.fsum(weights), int(page["snapshot"][:12]))
        return str(page["snapshot"])

    def check_cells(self) -> str:
        """Check that the counts of the cells sum to N."""
        page = self.asked("cells?limit=1000").json()
        assert sum(row["count"] for row in page["rows"]) == int(page["snapshot"][:12])
        return str(page["snapshot"])

    def check_file(self) -> str:
        """Check that a file is whole too."""
        found = self.asked("coreset.npz")
        name = found.headers["Content-Disposition"].split('"')[1].removesuffix(".npz")
        arrays = np.load(io.BytesIO(found.body))
        assert math.isclose(arrays["weight"].sum(), int(name[:12]))
        return str(name)

    def asked(self, path: str) -> Answer:
        """Return an answer that has to be given."""
        found = ask(f"{self.url}/{path}")
        assert found.code == 200, found.body
        return found


def test_no_read_fails_or_is_torn(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Rows, cells and files belong together in each answer, while older snapshots go."""
    topic, state = make_topic(partitions=1), tmp_path / "state"
    words = ["--warmup", 100, "--snapshot-every", EACH, "--keep-snapshots", KEPT, *TINY]
    run = ["run", *on(broker, topic), "--state", state, *words, "--http", "127.0.0.1:0"]
    with (
        command_process(*run) as process,
        ThreadPoolExecutor(READERS) as pool,
        KafkaProducer(bootstrap_servers=broker.bootstrap) as producer,
    ):
        assert process.stderr is not None
        url = process.stderr.readline().strip()
        reader = Reader(url)
        reading = []
        for step in range(SNAPSHOTS):
            for value in messages(step, EACH if step else 100 + EACH):
                producer.send(topic, value=value)
            producer.flush()
            if step:
                for kind in KINDS * (READS // SNAPSHOTS // len(KINDS) + 1):
                    reader.due.put(kind)
            else:
                reading = [pool.submit(reader.read) for _ in range(READERS)]
            wait_until(partial(has_written, url, step + 1), process)
        for _ in range(READERS):
            reader.due.put(None)
        for one in reading:
            one.result()
        process.terminate()
        assert finish(process).exit_code == 0
    assert reader.seen.total() >= READS
    assert len(reader.seen) > SNAPSHOTS / 2  # not one and the same, read a thousand times
    assert len(list((state / "snapshots").iterdir())) == KEPT


def has_written(url: str, number: int) -> bool:
    """Return whether a run has written so many snapshots."""
    return bool(ask(f"{url}/status").json()["snapshots"] >= number)
