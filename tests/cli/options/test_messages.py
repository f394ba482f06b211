"""Formats of messages, from `produce` to a snapshot, and the example of the documentation."""

from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from tests import ROOT
from tests.support.commands import TINY, N, answer, refusal, send, write_data
from tests.support.documents import files
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

DOCUMENT = ROOT / "docs/how-to/read-your-own-format.md"


def run(broker: Broker, topic: str, state: Path, *options: object) -> Any:
    """Consume a topic to its end."""
    words = ("--bootstrap-servers", broker.bootstrap, "--topic", topic, "--state", state)
    return answer("run", *words, *TINY, "--until-end", *options)


def test_arrow_makes_the_coreset_of_npy(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Many samples in a message, or one: ids, labels and choice are the same."""
    data = write_data(tmp_path / "data.npz")
    rows = []
    for size in (1, 70):
        topic = make_topic()
        to = ("--bootstrap-servers", broker.bootstrap, "--topic", topic)
        sent = answer("produce", data, *to, "--samples-per-message", size)
        assert sent["messages"] == -(-N // size)
        state = tmp_path / str(size)
        report = run(broker, topic, state, "--warmup", 100)
        assert (report["n"], report["rejected"]) == (N, 0)
        columns = "id, role, label, weight, certified, cell"
        chosen = f"SELECT {columns} FROM coreset ORDER BY selection_rank"
        rows.append(answer("query", "--state", state, chosen))
    assert rows[0] == rows[1]


def test_max_samples_ends_with_a_whole_message(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """What is left of a message is never counted twice, nor lost."""
    data, topic = write_data(tmp_path / "data.npz"), make_topic()
    to = ("--bootstrap-servers", broker.bootstrap, "--topic", topic)
    answer("produce", data, *to, "--samples-per-message", 70)
    options = (broker, topic, tmp_path / "state", "--warmup", 100, "--checkpoint-every", 10)
    assert run(*options, "--max-samples", 10)["n"] == 70
    assert run(*options, "--max-samples", 80)["n"] == 210
    assert run(*options)["n"] == N


@pytest.mark.parametrize(
    ("option", "limit", "words"),
    [("--max-message-bytes", 15, "16 bytes"), ("--max-elements", 3, "4 elements")],
)
def test_limits_are_options(
    option: str, limit: int, words: str, broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """A message over a limit is a dead letter; at the limit it is a sample."""
    topic, value = make_topic(), np.ones(4, np.float32).tobytes()
    send(broker, topic, [value])
    layout = ("--dtype", "float32", "--shape", 4, "--max-bad-share", 1)
    assert run(broker, topic, tmp_path / "good", *layout, option, limit + 1)["n"] == 1
    assert run(broker, topic, tmp_path / "bad", *layout, option, limit)["rejected"] == 1
    (dead_letter,) = answer("dlq", "list", "--state", tmp_path / "bad")
    assert words in dead_letter["message"]


def test_dtype_and_shape_of_others_than_the_state_are_refused(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """Or every message would be a dead letter; so with a generation to begin with."""
    topic, state = make_topic(), tmp_path / "state"
    send(broker, topic, [np.full(4, row, np.float32).tobytes() for row in range(30)])
    layout = ("--dtype", "float32", "--message-format", "raw")
    assert run(broker, topic, state, *layout, "--shape", 4, "--warmup", 20)["n"] == 30
    words = ("run", "--bootstrap-servers", broker.bootstrap, "--topic", topic, *TINY)
    begun = ("--state", state)
    answer("build", write_data(tmp_path / "data.npz"), *TINY, "--out", tmp_path / "built")
    new = ("--state", tmp_path / "new", "--generation", tmp_path / "built")
    for where in (begun, new):
        said = refusal(*words, *where, *layout, "--shape", "2,2", exit_code=2)
        assert "shape (2, 2) differ from those of the state" in said
        assert "dtype float32 and shape (4,); use these or omit both" in said


def test_avro_example_of_the_documentation(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as it stands, and what is no Avro is a dead letter."""
    code = files(DOCUMENT)["readings.py"]
    (tmp_path / "readings.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(code, namespace)  # for its schema
    values = []
    for row in range(30):
        record = {"id": f"r{row}", "values": [row, row % 3], "label": "odd" if row % 2 else None}
        with (tmp_path / "record").open("wb") as file:
            fastavro.schemaless_writer(file, namespace["SCHEMA"], record)
        values.append((tmp_path / "record").read_bytes())
    topic = make_topic()
    send(broker, topic, [*values, b"?"])
    state = tmp_path / "state"
    report = run(broker, topic, state, "--codec", "readings:ReadingCodec")
    assert (report["n"], report["rejected"]) == (30, 1)
    (dead_letter,) = answer("dlq", "list", "--state", state)
    assert (dead_letter["reason"], dead_letter["message"][:12]) == ("decode", "codec failed")
    labels = "SELECT DISTINCT label, id[1] AS first FROM coreset ORDER BY label"
    found = answer("query", "--state", state, labels)
    assert found == [{"label": "odd", "first": "r"}, {"label": None, "first": "r"}]


def test_codec_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    """Before a broker is asked, in one line."""
    words = ("--bootstrap-servers", "127.0.0.1:1", "--topic", "t", "--state", tmp_path / "state")
    line = refusal("run", *words, "--codec", "json:nonsense", exit_code=2)
    assert "json has no nonsense" in line


def test_several_samples_need_arrow(tmp_path: Path) -> None:
    """The option and what would do."""
    words = ("--bootstrap-servers", "127.0.0.1:1", "--topic", "t", "--samples-per-message", 2)
    data = write_data(tmp_path / "data.npz")
    line = refusal("produce", data, *words, "--message-format", "raw", exit_code=2)
    assert "--samples-per-message" in line
    assert "use arrow" in line
