"""`run --dead-letter-topic`, and `dlq` on it: poison is in the topic before it is passed over."""

from pathlib import Path

import numpy as np
import pytest

from echo_stream.connectors.dead_letters.files import read_dead_letters
from echo_stream.connectors.dead_letters.message import DeadLetter
from echo_stream.connectors.dead_letters.topic import read_topic
from echo_stream.connectors.kafka.client_config import ClientConfig
from tests.support.bad_messages import RAISES
from tests.support.commands import (
    GOOD,
    READ,
    answer,
    newest_checkpoint,
    on,
    refusal,
    run_command,
    send,
)
from tests.support.crashes.native_damage import npy
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

POISON = {
    "length": ("schema", b"junk"),
    "shape": ("schema", npy(np.ones(5, np.float32))),
    "dtype": ("schema", npy(np.ones(4, np.complex64))),
    "header": ("decode", b"\x93NUMPY?"),
    "nonfinite": ("nonfinite", np.full(4, np.nan, np.float32).tobytes()),
    "feature": ("feature", np.full(4, RAISES, np.float32).tobytes()),
}
"""By its kind, why a message is no sample, and the message."""


@pytest.mark.parametrize("kind", ["file", "topic"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_poison_of_every_class(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path, kind: str, place: int
) -> None:
    """At the first, a middle or the last place of its log; all the others are counted."""
    topics = {make_topic(): poison for poison in POISON.values()}
    for topic, (_, value) in topics.items():
        send(broker, topic, [GOOD] * place + [value] + [GOOD] * (4 - place))
    state, dead_letters = tmp_path / "state", make_topic()
    words = ["run", *on(broker, *topics), *READ, "--state", state]
    words += ["--features", "tests.support.bad_messages:picky"]
    words += ["--dead-letter-topic", dead_letters] if kind == "topic" else []
    result = run_command(*words)
    counts = result.json()["n"], result.json()["rejected"]
    assert (result.exit_code, counts) == (0, (4 * len(POISON), len(POISON)))
    where = f"topic {dead_letters}" if kind == "topic" else state / "dead-letters"
    assert f"{len(POISON)} messages were invalid; they are in {where}" in result.stderr
    kept = [
        dead_letter.sample
        for dead_letter in letters_of(broker, kind, state, dead_letters)
        if dead_letter.sample
    ]
    found = {
        dead_letter.origin and dead_letter.origin[:3]: (dead_letter.reason, dead_letter.value)
        for dead_letter in kept
    }
    assert found == {(topic, 0, place): poison for topic, poison in topics.items()}
    assert newest_checkpoint(state)["offsets"] == {f"{topic}/0": 5 for topic in topics}
    # The next run begins behind them.
    assert answer(*words)["rejected"] == 0
    assert len(letters_of(broker, kind, state, dead_letters)) == len(POISON)


def letters_of(broker: Broker, kind: str, state: Path, topic: str) -> list[DeadLetter]:
    """Return the dead letters that were kept, and that nothing is where they are not."""
    of_file = list(read_dead_letters(state / "dead-letters"))
    of_topic = list(read_topic(topic, broker.bootstrap, ClientConfig()))
    assert (of_topic if kind == "file" else of_file) == []
    return of_topic or of_file


def test_list_show_and_replay(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """As of a state; a message that fails again and again is refused in the end."""
    topic, dead_letters = make_topic(), make_topic()
    kept = ["--bootstrap-servers", broker.bootstrap, "--dead-letter-topic", dead_letters]
    send(broker, topic, [GOOD, b"junk"])
    words = ["run", *on(broker, topic), *READ, "--state", tmp_path / "s", *kept[2:]]
    assert answer(*words)["rejected"] == 1
    (row,) = answer("dlq", "list", *kept)
    assert (row["place"], row["topic"], row["offset"], row["attempts"]) == ("0:0", topic, 1, 1)
    assert answer("dlq", "show", "0:0", *kept)["value"] == "junk"
    assert "0:1 holds no dead letter" in refusal("dlq", "show", "0:1", *kept, exit_code=2)
    once = ["dlq", "replay", *kept, "--topic", topic, "--max-attempts", 1]
    assert answer(*once) == {"topic": topic, "messages": 1, "refused": 0}
    assert answer(*words)["rejected"] == 1
    assert [row["attempts"] for row in answer("dlq", "list", *kept)] == [1, 2]
    result = run_command(*once, "0:1")
    assert result.json() == {"topic": topic, "messages": 0, "refused": 1}
    assert "1 not sent: tried more than 1 times (--max-attempts)" in result.stderr
    line = refusal("dlq", "replay", *kept, "--topic", dead_letters, exit_code=2)
    assert "--topic must differ from --dead-letter-topic" in line


def test_topic_that_is_read_is_refused(broker: Broker, tmp_path: Path) -> None:
    """Every dead letter would be another message to read."""
    words = ["run", *on(broker, "a", "b"), *READ, "--state", tmp_path / "s"]
    line = refusal(*words, "--dead-letter-topic", "b", exit_code=2)
    assert "--dead-letter-topic must be none of the topics that are read; got 'b'" in line
    assert not (tmp_path / "s").exists()


def test_state_or_topic(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Both flags are one too many; a topic that is set for all commands goes before a state."""
    dead_letters = make_topic()
    both = ["--state", tmp_path, "--dead-letter-topic", dead_letters]
    assert "give either --state DIR or" in refusal("dlq", "list", *both, exit_code=2)
    line = refusal("dlq", "list", "--dead-letter-topic", dead_letters, exit_code=2)
    assert "--dead-letter-topic needs --bootstrap-servers" in line
    settings = tmp_path / "echo.toml"
    settings.write_text(
        f'state = "{tmp_path}/none"\nbootstrap_servers = "{broker.bootstrap}"\n'
        f'dead_letter_topic = "{dead_letters}"\n'
    )
    assert answer("dlq", "list", "--config", settings) == []
    named = ["dlq", "list", "--config", settings, "--state", tmp_path / "none"]
    assert "there is no state" in refusal(*named, exit_code=4)


def test_replay_of_a_place_that_is_none() -> None:
    """A word is no place."""
    line = refusal("dlq", "show", "first", exit_code=2)
    assert "a place is the number of a line, or PARTITION:OFFSET" in line
