"""Kafka: whether a broker answers, has the topics, and still has what a state would read next."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from echo_stream.connectors.inspect.doctor.finding import Finding
from echo_stream.connectors.inspect.doctor.state import newest_checkpoint
from echo_stream.connectors.kafka.client import check_servers, check_topic, errors_for_people
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.connectors.kafka.identity import Identity, IdentityClient
from echo_stream.connectors.kafka.offsets import partition_name, resume_offsets
from echo_stream.errors import EchoStreamError, SourceError

Limits = dict[TopicPartition, int]


def check_broker(
    servers: str, topics: Sequence[str], client: ClientConfig, state: Path | None
) -> Iterator[Finding]:
    """Look at broker and topics; with a state also at what it would go on with.

    Parameters
    ----------
    servers : str
        Comma-separated HOST:PORT.
    topics : sequence of str
    client : ClientConfig
    state : Path or None

    Raises
    ------
    ConfigError
        If a name is none that a broker could have.
    """
    check_servers(servers)
    for topic in topics:
        check_topic(topic, "topics")
    try:
        with errors_for_people(servers, "connect to the broker"):
            consumer = KafkaConsumer(**client.for_client(KafkaConsumer, servers, group_id=None))
    except SourceError as err:
        advice = "check the broker, firewall, TLS and SASL settings"
        yield Finding("broker", "fail", str(err), advice)
        return
    with closing(consumer):
        yield Finding("broker", "ok", f"{servers} answers")
        logs: list[tuple[Limits, Limits]] = []
        for topic in topics:
            yield _topic(consumer, servers, topic, logs)
    if state is not None and topics and len(logs) == len(topics):
        yield from _resumption(servers, topics, client, state, logs)


def _topic(
    consumer: KafkaConsumer, servers: str, topic: str, logs: list[tuple[Limits, Limits]]
) -> Finding:
    """Look at a topic; the first and last offsets of its partitions are added to logs."""
    name = f"topic {topic}"
    try:
        with errors_for_people(servers, f"look up {name}"):
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                close = difflib.get_close_matches(topic, sorted(consumer.topics()), n=1)
                advice = f"did you mean {close[0]}?" if close else "create it"
                return Finding(name, "fail", "it does not exist", advice)
            partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
            first = dict(consumer.beginning_offsets(partitions))
            last = dict(consumer.end_offsets(partitions))
    except SourceError as err:
        advice = (
            "check that every partition has a leader, and that this user may describe and read it"
        )
        return Finding(name, "fail", str(err), advice)
    logs.append((first, last))
    messages = sum(last.values()) - sum(first.values())
    return Finding(name, "ok", f"{len(partitions)} partitions, at most {messages} messages")


def _resumption(
    servers: str,
    topics: Sequence[str],
    client: ClientConfig,
    state: Path,
    logs: Sequence[tuple[Limits, Limits]],
) -> Iterator[Finding]:
    """Look whether the log still is the one of the newest checkpoint, and has what comes next."""
    checkpoint = newest_checkpoint(state)
    if checkpoint is None or checkpoint["source"].get("kind") != "kafka":
        return
    stored = Identity.from_json(checkpoint["source"])
    if stored.topics.keys() != set(topics):
        advice = "name the same topics, or give another --state"
        found = f"the state has counted {', '.join(sorted(stored.topics))}"
        yield Finding("resumption", "fail", found, advice)
        return
    first = {key: value for log in logs for key, value in log[0].items()}
    last = {key: value for log in logs for key, value in log[1].items()}
    try:
        with closing(IdentityClient(servers, topics, client)) as ids:
            stored.refuse_changes(ids.ask())
        resume_offsets(checkpoint["offsets"], first, last, same_topics=set(topics), accept=False)
    except EchoStreamError as err:
        yield Finding("resumption", "fail", str(err), "see docs/how-to/resume-after-a-crash.md")
        return
    offsets = checkpoint["offsets"]
    behind = sum(last[each] - offsets.get(partition_name(each), first[each]) for each in last)
    yield Finding("resumption", "ok", f"{behind} messages behind the newest checkpoint")
