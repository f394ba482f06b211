"""`echo-stream dlq`: what was kept of messages that were no samples can be read."""

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from echo_stream.connectors.dead_letters.files import DeadLetterFile
from echo_stream.connectors.dead_letters.limits import DeadLetterLimits
from echo_stream.connectors.dead_letters.numbered_files import FIRST_FILE
from echo_stream.connectors.kafka.sink import ProduceConfig, produce_messages
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample
from tests.support.commands import answer, refusal, run_command
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic, received

TEXT = RejectedSample(
    "decode", "no JSON", b"k", b'{"x": ', (("id", b"7"), ("empty", None)), Origin("t", 1, 42, 5)
)
BYTES = RejectedSample("schema", "x is ragged", None, b"\xff\x00", (), None)

AGAIN = [("__echo.errors.attempts", b"2")]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state with two dead letters, of two runs."""
    for dead_letter in (TEXT, BYTES):
        with closing(DeadLetterFile(tmp_path / "dead-letters")) as dead_letters:
            dead_letters.write([dead_letter])
            dead_letters.flush()
    return tmp_path


def test_list_tells_what_was_wrong_and_where(state: Path) -> None:
    """A row a message, numbered by its line in the file."""
    text, other = answer("dlq", "list", "--state", state)
    assert text == {
        "place": 1,
        "reason": "decode",
        "topic": "t",
        "partition": 1,
        "offset": 42,
        "last_offset": None,
        "num_messages": 1,
        "timestamp": 5,
        "size_bytes": 6,
        "truncated": False,
        "attempts": 1,
        "exception": "",
        "message": "no JSON",
    }
    assert (other["place"], other["reason"], other["topic"]) == (2, "schema", None)
    table = run_command("dlq", "list", "--state", state, "--format", "table").stdout
    assert "no JSON" in table
    assert "x is ragged" in table


def test_show_has_every_byte(state: Path) -> None:
    """Text as it is, and other bytes in base64."""
    shown = answer("dlq", "show", 1, "--state", state)
    assert (shown["key"], shown["value"]) == ("k", '{"x": ')
    assert shown["headers"] == [["id", "7"], ["empty", None]]
    assert answer("dlq", "show", 2, "--state", state)["value"] == "/wA="


def test_line_that_is_cut_is_told(state: Path) -> None:
    """Half a line hides none of the others."""
    path = state / "dead-letters" / FIRST_FILE
    path.write_bytes(path.read_bytes() + b'{"reason": "dec')
    result = run_command("dlq", "list", "--state", state)
    assert [row["place"] for row in result.json()] == [1, 2]
    assert "skipped unreadable entries: 3" in result.stderr
    assert "place 3 holds no dead letter" in refusal(
        "dlq", "show", 3, "--state", state, exit_code=2
    )


def test_state_without_dead_letters(tmp_path: Path) -> None:
    """Nothing was rejected; a state that is not there is another matter."""
    (tmp_path / "checkpoints").mkdir()
    assert answer("dlq", "list", "--state", tmp_path) == []
    missing = tmp_path / "missing"
    assert "there is no state" in refusal("dlq", "list", "--state", missing, exit_code=4)
    assert "give --state" in refusal("dlq", "list", exit_code=2)


def test_replay_sends_the_original_bytes(
    broker: Broker, make_topic: MakeTopic, state: Path
) -> None:
    """All, or those of a line; they stay where they are."""
    topic = make_topic()
    on = ["--state", state, "--bootstrap-servers", broker.bootstrap, "--topic", topic]
    assert answer("dlq", "replay", *on) == {"topic": topic, "messages": 2, "refused": 0}
    assert answer("dlq", "replay", 2, *on)["messages"] == 1
    records = [(each.key, each.value, list(each.headers)) for each in received(broker, topic)]
    # The client sends no header without a value.
    text = (b"k", b'{"x": ', [("id", b"7"), ("empty", b""), *AGAIN])
    assert records == [text, (None, b"\xff\x00", AGAIN), (None, b"\xff\x00", AGAIN)]
    assert len(answer("dlq", "list", "--state", state)) == 2


def test_replay_needs_a_topic_and_lines_that_there_are(state: Path) -> None:
    """Both are wrong usage, before a broker is asked."""
    assert "--topic" in refusal("dlq", "replay", "--state", state, exit_code=2)
    to = ["--bootstrap-servers", "127.0.0.1:1", "--topic", "t"]
    line = refusal("dlq", "replay", 3, "--state", state, *to, exit_code=2)
    assert "place 3 holds no dead letter" in line


def test_what_was_cut_is_told(tmp_path: Path) -> None:
    """With the size of the whole, and how many letters have gone."""
    limits = DeadLetterLimits(1024, 64 * 1024)
    with closing(DeadLetterFile(tmp_path / "dead-letters", limits=limits)) as dead_letters:
        for row in range(70):
            dead_letters.write([replace(BYTES, value=random.Random(row).randbytes(5_000))])
            dead_letters.flush()
    result = run_command("dlq", "list", "--state", tmp_path)
    first, *_, last = result.json()
    assert (last["place"], last["size_bytes"], last["truncated"]) == (70, 5_000, True)
    assert first["place"] > 1
    assert f"the oldest {first['place'] - 1} were removed" in result.stderr


@pytest.mark.real_kafka
def test_replay_of_what_was_cut(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """The whole is sent where it is still in its topic, and nothing where it is not."""
    source, target = make_topic(), make_topic()
    produce_messages([(b"k", b"x" * 3_000, [])], ProduceConfig(source, broker.bootstrap))
    (record,) = received(broker, source)
    there = RejectedSample(
        "decode", "", b"k", b"x" * 3_000, (), Origin(source, 0, 0, record.timestamp)
    )
    gone = replace(there, origin=Origin(source, 0, 1, record.timestamp))
    folder, limits = tmp_path / "dead-letters", DeadLetterLimits(1024, 64 * 1024)
    with closing(DeadLetterFile(folder, limits=limits)) as dead_letters:
        dead_letters.write([there, gone])
        dead_letters.flush()
    on = ["--state", tmp_path, "--bootstrap-servers", broker.bootstrap, "--topic", target]
    result = run_command("dlq", "replay", *on)
    assert result.json() == {"topic": target, "messages": 1, "refused": 1}
    assert "1 not sent: only a part was stored" in result.stderr
    (sent,) = received(broker, target)
    assert (sent.key, sent.value, list(sent.headers)) == (b"k", b"x" * 3_000, AGAIN)
