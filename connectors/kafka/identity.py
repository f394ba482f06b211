"""The identity of topics: the ids of the cluster and of each topic."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient

from echo_stream.connectors.kafka.client import errors_for_people
from echo_stream.connectors.kafka.client_config import ClientConfig
from echo_stream.errors import SettingName, SourceError, StateError
from echo_stream.samples.source import refuse_other_source

logger = logging.getLogger(__name__)

_REQUEST_TIMEOUT_MS = 2_000  # a broker that is silent must not hold up a checkpoint
_NO_ID = "00000000-0000-0000-0000-000000000000"  # what a broker before topic ids answers


@dataclass(frozen=True, slots=True)
class Identity:
    """What distinguishes topics from others of the same names.

    Attributes
    ----------
    cluster : str or None
        The cluster's id; None where the broker does not report it.
    topics : mapping of str to (str or None)
        Each topic's id; None where the broker does not report it.
    """

    cluster: str | None
    topics: Mapping[str, str | None]

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> "Identity":
        """Return the identity in a source's description, of early ones the names alone."""
        topics = description["topics"]
        if not isinstance(topics, Mapping):
            topics = dict.fromkeys(topics)
        return cls(description.get("cluster"), topics)

    def to_json(self) -> dict[str, Any]:
        """Return the description of a source; `json.dumps` takes it."""
        return {"kind": "kafka", "cluster": self.cluster, "topics": dict(self.topics)}

    def is_same_topic(self, other: "Identity", topic: str) -> bool:
        """Return whether a topic is known to be the same log in both."""
        return self.topics[topic] is not None and self.topics[topic] == other.topics[topic]

    def is_other_topic(self, other: "Identity", topic: str) -> bool:
        """Return whether a topic is known to be another log in the other identity."""
        before, after = self.topics[topic], other.topics[topic]
        if not (before and after):
            before, after = self.cluster, other.cluster
        return bool(before and after and before != after)

    def knows_all_of(self, other: "Identity") -> bool:
        """Return whether the id of every topic is known here that is known there."""
        return all(self.topics.get(name) for name, found in other.topics.items() if found)

    def completed_by(self, other: "Identity") -> "Identity":
        """Return this identity with what is known only of the other."""
        topics = {name: found or other.topics.get(name) for name, found in self.topics.items()}
        return Identity(self.cluster or other.cluster, topics)

    def changes(self, other: "Identity") -> list[str]:
        """Return what differs in another identity, where both are known."""
        return [
            f"the id of {what} was {before} and is {after}"
            for what, before, after in (
                ("the cluster", self.cluster, other.cluster),
                *((f"topic {name}", self.topics[name], other.topics[name]) for name in self.topics),
            )
            if before and after and before != after
        ]

    def refuse_changes(self, other: "Identity", *, may_accept: bool = True) -> None:
        """Refuse another identity, where both are known.

        may_accept tells whether one may go on with it all the same.

        Raises
        ------
        StateError
            Naming what differs, and what to do.
        """
        remedy = SettingName("accept_source"), " to continue with the new one, or "
        if changes := self.changes(other):
            msg = (
                f"the topic is not the one that the state has counted: {'; '.join(changes)}; give "
            )
            raise StateError(
                msg,
                *(remedy if may_accept else ()),
                "another ",
                SettingName("state"),
            )


class IdentityClient:
    """Ask a broker for the ids of its cluster and of topics.

    Parameters
    ----------
    servers : str
        Comma-separated HOST:PORT.
    topics : sequence of str
    client : ClientConfig

    Raises
    ------
    SourceError
        If no broker answers.
    """

    def __init__(
        self,
        servers: str,
        topics: Sequence[str],
        client: ClientConfig = ClientConfig(),  # noqa: B008 - immutable
    ) -> None:
        self._servers = servers
        self._topics = list(topics)
        options = client.for_client(KafkaAdminClient, servers)
        with self._errors():
            self._admin = KafkaAdminClient(**{**options, "request_timeout_ms": _REQUEST_TIMEOUT_MS})

    def ask(self) -> Identity:
        """Return the ids as they are now.

        Raises
        ------
        SourceError
            If the broker does not answer: at once while it is away, and for up to
            `RECONNECT_BACKOFF_MAX_MS` after it is back.
        """
        with self._errors():
            cluster = self._admin.describe_cluster()["cluster_id"]
            described = self._admin.describe_topics(self._topics)
        found = {topic["name"]: _topic_id(topic) for topic in described}
        return Identity(cluster or None, {name: found.get(name) for name in self._topics})

    def close(self) -> None:
        """Close the client."""
        with self._errors():
            self._admin.close()

    def _errors(self) -> Any:
        """Return the guard that turns the client's errors into ours."""
        return errors_for_people(self._servers, "ask for the ids of cluster and topics")


class LogIdentity:
    """The identity of the logs that are read, as far as the broker has reported it.

    Parameters
    ----------
    client : IdentityClient
    may_accept : bool
        Whether the user may accept another log in place of the one that was counted.

    Attributes
    ----------
    same_topics : set of str
        Topics that are known to be those of the state.
    other_topics : set of str
        Topics that are known to be others than those of the state.
    """

    def __init__(self, client: IdentityClient, *, may_accept: bool) -> None:
        self._client, self._may_accept = client, may_accept
        self._known = client.ask()
        warn_of_unknown(self._known)
        self._checked_at: Mapping[Any, int] = {}
        self.same_topics = set(self._known.topics)
        self.other_topics: set[str] = set()

    def checked_at(self, offsets: Mapping[Any, int]) -> None:
        """Take the identity to be checked up to these offsets."""
        self._checked_at = dict(offsets)

    def describe(self, offsets: Mapping[Any, int]) -> dict[str, Any]:
        """Return the ids, which are asked for again if the offsets have moved.

        So offsets in a topic that was recreated meanwhile are never stored under the name of
        the old one. A broker that is away is asked again the next time.

        Raises
        ------
        StateError
            If a topic has been recreated.
        """
        offsets = dict(offsets)  # first: what is read while it asks is news
        if offsets != self._checked_at:
            try:
                now = self._client.ask()
            except SourceError as err:
                logger.info("ids of cluster and topics were not checked: %s", err)
            else:
                self._known.refuse_changes(now, may_accept=self._may_accept)
                self._known = now.completed_by(self._known)
                # A topic that the broker does not know at this moment is asked for again.
                if now.knows_all_of(self._known):
                    self._checked_at = offsets
        return self._known.to_json()

    def recognise(self, description: Mapping[str, Any], *, accept: bool) -> None:
        """Raise StateError unless a description is of the same topics of the same cluster.

        What the broker does not report, now or then, is taken to be the same. accept says
        whether other ids are accepted.
        """
        stored = Identity.from_json(description) if description["kind"] == "kafka" else None
        if stored is None or stored.topics.keys() != self._known.topics.keys():
            refuse_other_source(description, self._known.to_json())
            return
        if accept:
            for change in stored.changes(self._known):
                logger.warning(
                    "%s; continuing at the stored offsets, where the log has them", change
                )
        else:
            stored.refuse_changes(self._known, may_accept=self._may_accept)
            self._known = self._known.completed_by(stored)
        topics = self._known.topics
        self.same_topics = {each for each in topics if stored.is_same_topic(self._known, each)}
        self.other_topics = {each for each in topics if stored.is_other_topic(self._known, each)}


def warn_of_unknown(identity: Identity) -> None:
    """Warn of topics without an id, which cannot be told from others of the same name."""
    unknown = [name for name, found in identity.topics.items() if found is None]
    if unknown:
        logger.warning(
            "the broker reports no id of topic %s: a recreated topic would go unnoticed",
            ", ".join(unknown),
        )


def _topic_id(described: Mapping[str, Any]) -> str | None:
    """Return a topic's id, if the broker reports one."""
    found = str(described.get("topic_id") or _NO_ID)
    return None if found == _NO_ID else found
