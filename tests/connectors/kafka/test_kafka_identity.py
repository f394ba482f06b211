"""A topic is told from another one of its name by ids, where there are any."""

import json
import uuid
from contextlib import closing

import pytest

from echo_stream.connectors.kafka.identity import Identity, IdentityClient, warn_of_unknown
from echo_stream.errors import StateError
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

KNOWN = Identity("c1", {"a": "i1", "b": "i2"})
UNKNOWN = Identity(None, {"a": None, "b": None})


def test_identity_is_kept_in_json() -> None:
    """As a source's description; of early ones the names are all that is known."""
    assert Identity.from_json(json.loads(json.dumps(KNOWN.to_json()))) == KNOWN
    assert Identity.from_json({"kind": "kafka", "topics": ["b", "a"]}) == UNKNOWN


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (Identity("c1", {"a": "i1", "b": "i3"}), "counted: the id of topic b was i2 and is i3; "),
        (Identity("c2", {"a": "i1", "b": "i2"}), "counted: the id of the cluster was c1 and is c2"),
        (Identity("c2", {"a": None, "b": "i3"}), "was c1 and is c2; the id of topic b was i2 and"),
    ],
)
def test_other_ids_are_refused(now: Identity, words: str) -> None:
    """The message names all that differ, and the flag that goes on."""
    with pytest.raises(StateError, match=words) as caught:
        KNOWN.refuse_changes(now)
    assert str(caught.value).endswith(
        "give accept_source to continue with the new one, or another state"
    )


@pytest.mark.parametrize(("before", "now"), [(KNOWN, UNKNOWN), (UNKNOWN, KNOWN), (KNOWN, KNOWN)])
def test_what_is_unknown_is_taken_to_be_the_same(before: Identity, now: Identity) -> None:
    """It is not refused, and what is known of either is kept; but sure of it nobody is."""
    before.refuse_changes(now)
    assert now.completed_by(before) == KNOWN
    assert before.is_same_topic(now, "a") == (before == now == KNOWN)


def test_unknown_ids_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Who relies on them should know; of known ones nothing is said."""
    warn_of_unknown(KNOWN)
    assert caplog.text == ""
    warn_of_unknown(Identity("c1", {"a": "i1", "b": None}))
    assert "reports no id of topic b: a recreated topic would go unnoticed" in caplog.text


@pytest.mark.real_kafka
def test_broker_reports_ids(broker: Broker, make_topic: MakeTopic) -> None:
    """The same each time, another for each topic, and none of one that is not there."""
    topics = [make_topic(), make_topic()]
    with closing(IdentityClient(broker.bootstrap, [*topics, "none"])) as client:
        identity = client.ask()
        assert client.ask() == identity
    assert identity.cluster
    first, second, none = identity.topics.values()
    assert first is not None
    assert second is not None
    assert uuid.UUID(first) != uuid.UUID(second)
    assert none is None
