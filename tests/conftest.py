"""Fixtures that every test may use: a Kafka broker and fresh topics."""

import gc
import os
import uuid
from collections.abc import Iterator, Mapping

import pytest
import torch
from hypothesis import settings
from kafka import KafkaAdminClient

from echo_stream.connectors.process.tuning import COLLECT_AFTER
from tests.support.crashes.lives import Nursery, open_nursery
from tests.support.kafka.apache_kafka import BrokerError
from tests.support.kafka.broker import Broker, choose_broker, is_apache_required
from tests.support.kafka.topics import MakeTopic

# Times vary too much on small shared machines for deadlines to mean anything.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Tests run side by side: threads that wait for each other make tiny models ten times slower.
torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that use a broker, and slow ones: of recovery, which begin, and of benchmarks."""
    items.sort(key=lambda item: "/recovery/" not in item.nodeid)
    for item in items:
        if "/recovery/" in item.nodeid or "/benchmarks/" in item.nodeid:
            item.add_marker("slow")
        if {"broker", "secure"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")


def pytest_collection_finish() -> None:
    """Spare the collector of cycles all modules and tests: it takes half a second for them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Run one broker for the whole session; skip where none is to be had and none is required."""
    try:
        chosen = choose_broker(tmp_path_factory.mktemp("broker"))
    except BrokerError as error:
        if is_apache_required():
            raise
        pytest.skip(str(error))
    with chosen:
        yield chosen


@pytest.fixture
def restartable_broker(broker: Broker) -> Iterator[Broker]:
    """Lend the broker to a test that stops or kills it; it runs again afterwards."""
    if not broker.can_restart:
        pytest.skip("needs an Apache Kafka that these tests may stop")
    yield broker
    broker.start()


@pytest.fixture
def admin(broker: Broker) -> Iterator[KafkaAdminClient]:
    """Yield a client that may change topics."""
    with KafkaAdminClient(bootstrap_servers=broker.bootstrap) as client:
        yield client


@pytest.fixture
def make_topic(broker: Broker) -> MakeTopic:
    """Return make_topic(partitions=1, configs=None), which creates a topic with its own name."""

    def make(partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
        name = f"echo-stream-test-{uuid.uuid4().hex}"
        options = {
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": dict(configs or {}),
        }
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap) as admin:
            admin.create_topics({name: options}, wait_for_metadata=True)
        return name

    return make


@pytest.fixture(autouse=True)
def _apache_for_real_kafka(request: pytest.FixtureRequest) -> None:
    """Skip tests marked real_kafka on any other broker."""
    if request.node.get_closest_marker("real_kafka") is None:
        return
    if not request.getfixturevalue("broker").is_apache:
        pytest.skip("the fallback broker answers this wrongly; Apache Kafka needs Java and Maven")


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Yield what starts `echo-stream` in processes of its own within milliseconds."""
    with open_nursery(tmp_path_factory.mktemp("lives")) as opened:
        yield opened
