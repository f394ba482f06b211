"""Consumers that read at full speed: two for a quarter of a minute, or five, for ten each."""

import os
from pathlib import Path

import pytest

from benchmarks.streams import BATCH, ClusterStream
from echo_stream import EchoCoreset, EngineConfig
from echo_stream.config import Preset
from echo_stream.connectors.app.stored_engine import stored_engine
from echo_stream.connectors.files.data_files import file_source
from echo_stream.connectors.kafka.sink import ProduceConfig
from echo_stream.connectors.runner.status_reader import STATUS_FILE
from echo_stream.connectors.storage.engine_files import write_generation
from tests.support.adaptive import totals
from tests.support.commands import answer, on
from tests.support.crashes.lives import Nursery, wait_for
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic
from tests.support.same_coreset import assert_nothing_certified_is_wrong, assert_same_sums
from tests.support.soak import MANY, MIB, Production, Readings, samples_of, watch, write_samples

pytestmark = pytest.mark.real_kafka

MINUTES = float(os.environ.get("ECHO_STREAM_SOAK_MINUTES", "0.25"))
SAMPLES = int(os.environ.get("ECHO_STREAM_SOAK_SAMPLES", "10000000"))  # at most
READ_EVERY_S = 1.0  # as often as a run writes its status
REPEATING = 100_000  # ids, again and again
FEW: list[tuple[Preset, int, int]] = [("adaptive", 64, REPEATING), ("fixed", 64, REPEATING)]
ALL = [*FEW, ("adaptive", 64, MANY), ("adaptive", 784, REPEATING), ("adaptive", 784, MANY)]
OPTIONS = (
    *("--budget", 300, "--checkpoint-every", "2s"),
    *("--snapshot-every", "5s", "--keep-snapshots", 3),
)
# A broker maps the indexes of each segment: with many small ones it has no map left.
LARGE_SEGMENTS = {"segment.bytes": str(256 * 1024**2)}
CHECKED_BYTES = 4 * 1024**3  # more are not written to a disk to be counted again


@pytest.mark.parametrize(("preset", "dim", "num_ids"), ALL if MINUTES >= 1 else FEW)
def test_soak(
    broker: Broker,
    nursery: Nursery,
    make_topic: MakeTopic,
    tmp_path: Path,
    *,
    preset: Preset,
    dim: int,
    num_ids: int,
) -> None:
    """Memory and files are flat, and counts and sums are the batch's."""
    config = EngineConfig(budget=300, preset=preset, auto_regenerate=False)
    topic, state = make_topic(partitions=4, configs=LARGE_SEGMENTS), tmp_path / "state"
    stream = ClusterStream(dim=dim, seed=0)
    first = next(samples_of(stream, MANY, MANY))
    generation = EchoCoreset.from_config(config).fit_source(first).generation_
    trained = write_generation(generation, tmp_path)
    words = ["run", *on(broker, topic), *OPTIONS, "--state", state, "--generation", trained]
    words += ["--preset", preset]
    readings = Readings()
    with nursery.life(*words, name="soak") as run:
        wait_for(lambda: (state / STATUS_FILE).exists() and phase(state) == "running", run)
        sent = samples_of(stream, SAMPLES, num_ids)
        production = Production(sent, ProduceConfig(topic, broker.bootstrap, "raw"), 60 * MINUTES)

        def read(seconds: float) -> None:
            told = answer("status", "--state", state)
            assert told["liveness"] == "alive", run.said()
            readings.read(told["pid"], seconds, told["n"], told["lag_records_total"])
            production.note(told["n"])

        watch(lambda: production.is_over, read, READ_EVERY_S)
        n = production.num_sent()
        wait_for(lambda: bool(answer("status", "--state", state)["n"] == n), run)
        run.leave()
    print(f"\n{readings.table()}\ngrowth {readings.growth_bytes() / MIB:.1f} MiB")  # noqa: T201 - what `make soak` is for
    assert n >= BATCH
    readings.check()
    if 4 * n * dim <= CHECKED_BYTES:
        write_samples(samples_of(stream, n, num_ids), n, dim, tmp_path / "samples.npz")
        check_coreset(state, config, tmp_path / "samples.npz")


def phase(state: Path) -> object:
    """Return what the run over a state is doing."""
    return answer("status", "--state", state).get("phase")


def check_coreset(state: Path, config: EngineConfig, data: Path) -> None:
    """Check what has been counted against a batch of the same samples.

    Adaptive cells depend on the order of partitions; their numbers and sums together do not.
    """
    with stored_engine(state, features=None, device="cpu") as engine:
        batch = EchoCoreset.from_config(config, generation=engine.generation_)
        exact = batch.fit_source(file_source(data)).snapshot()
        if config.is_adaptive:
            assert totals(engine) == totals(batch)
            return
        assert_same_sums(engine.snapshot(), exact)
        assert_nothing_certified_is_wrong(engine.snapshot(), exact)
        engine.repair(file_source(data))
        ours, rows = engine.snapshot().rows, exact.rows
        assert ours.samples.ids.tolist() == rows.samples.ids.tolist()
        assert ours.weights.tolist() == rows.weights.tolist()
