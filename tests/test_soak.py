"""A consumer that reads at full speed, for a quarter of a minute or, with `make soak`, for ten."""

import os
from pathlib import Path

import pytest

from benchmarks.streams import BATCH, ClusterStream
from echo_stream import EchoCoreset, EngineConfig
from echo_stream.connectors.engine_files import write_generation
from echo_stream.connectors.files import file_source
from echo_stream.connectors.kafka_sink import ProduceConfig
from echo_stream.connectors.stored_engine import stored_engine
from tests.broker import Broker
from tests.cli.commands import answer, on
from tests.conftest import MakeTopic
from tests.lives import Nursery, wait_for
from tests.same_coreset import assert_nothing_certified_is_wrong, assert_same_sums
from tests.soak import MANY, MIB, Production, Readings, samples_of, watch, write_samples

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka]

SECONDS = 60 * float(os.environ.get("ECHO_STREAM_SOAK_MINUTES", "0.25"))
READ_EVERY_S = 1.0  # as often as a run writes its status
STREAM = ClusterStream(dim=8, seed=0)
CONFIG = EngineConfig(budget=300, epochs=1, auto_regenerate=False)
OPTIONS = (
    *("--budget", 300, "--epochs", 1, "--checkpoint-every", "2s"),
    *("--snapshot-every", "5s", "--keep-snapshots", 3),
)


def test_soak(broker: Broker, nursery: Nursery, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Memory and files are flat, the run keeps up, and its coreset becomes the batch's."""
    topic, state = make_topic(partitions=4), tmp_path / "state"
    first = next(samples_of(STREAM, MANY))
    generation = EchoCoreset.from_config(CONFIG).fit_samples(first).generation_
    trained = write_generation(generation, tmp_path)
    words = ["run", *on(broker, topic), *OPTIONS, "--state", state, "--generation", trained]
    readings = Readings()
    with nursery.life(*words, name="soak") as run:
        wait_for(lambda: state.exists() and phase(state) == "running", run)
        production = Production(STREAM, ProduceConfig(topic, broker.bootstrap, "raw"), SECONDS)

        def read(seconds: float) -> None:
            told = answer("status", "--state", state)
            assert told["life"] == "alive", run.said()
            readings.read(told["pid"], seconds, told["n"], told["lag_records_total"])

        watch(lambda: production.is_over, read, READ_EVERY_S)
        n = production.num_sent()
        wait_for(lambda: bool(answer("status", "--state", state)["n"] == n), run)
        run.leave()
    print(f"\n{readings.table()}\ngrowth {readings.growth_bytes() / MIB:.1f} MiB")  # noqa: T201 - what `make soak` is for
    assert n >= BATCH
    readings.check()
    check_coreset(state, n, tmp_path / "samples.npy")


def phase(state: Path) -> object:
    """Return what the run over a state is doing."""
    return answer("status", "--state", state).get("phase")


def check_coreset(state: Path, n: int, data: Path) -> None:
    """Check what has been counted against a batch of the same samples."""
    write_samples(STREAM, n, data)
    with stored_engine(state, features=None, device="cpu") as engine:
        batch = EchoCoreset.from_config(CONFIG, generation=engine.generation_)
        exact = batch.fit_source(file_source(data)).snapshot()
        assert_same_sums(engine.snapshot(), exact)
        assert_nothing_certified_is_wrong(engine.snapshot(), exact)
        engine.repair(file_source(data))
        ours, rows = engine.snapshot().rows, exact.rows
        assert ours.samples.ids.tolist() == rows.samples.ids.tolist()
        assert ours.weights.tolist() == rows.weights.tolist()
