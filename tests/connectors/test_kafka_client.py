"""What is said of topics that are not there."""

import pytest

from echo_stream.connectors.kafka_client import unknown_topic


@pytest.mark.parametrize(
    ("known", "end"),
    [
        ([], "topics there: none"),
        (["b", "a"], "topics there: a, b"),
        (["events-2", "a"], "did you mean events-2?"),
        ([f"t{n:02d}" for n in range(30)], "t06, t07 and 22 more"),
    ],
)
def test_an_unknown_topic_names_the_nearest_or_a_few(known: list[str], end: str) -> None:
    """A cluster may have thousands."""
    line = str(unknown_topic("events", "kafka:9092", known))
    assert line.startswith("topic events does not exist at kafka:9092; ")
    assert line.endswith(end)
