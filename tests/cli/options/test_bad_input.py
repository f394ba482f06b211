"""Whatever is wrong is told in one line with its exit code, and nothing is lost or left behind."""

import base64
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaProducer

from echo_stream.connectors.kafka.client import COMMON_OPTIONS
from tests.support.commands import (
    TINY,
    N,
    answer,
    command_process,
    content,
    finish,
    refusal,
    run_command,
    silent_broker,
    units,
    write_data,
)
from tests.support.kafka.broker import Broker
from tests.support.kafka.ports import free_ports
from tests.support.kafka.topics import MakeTopic

X = np.random.default_rng(7).normal(size=(30, 4)).astype(np.float32)


def with_value(value: float, dtype: str = "float32") -> Any:
    """Return X with one other value in row 3."""
    x = X.astype(dtype)
    x[3, 1] = value
    return x


def arrays(**columns: Any) -> Callable[[Path], object]:
    """Return what writes an .npz with these arrays."""
    return lambda path: np.savez(path, **columns)


BAD_FILES: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "missing": (lambda _: None, 3, "no such file"),
    "empty": (lambda path: path.touch(), 1, "empty file (0 bytes)"),
    "corrupt": (lambda path: path.write_bytes(b"PK\3\4, and then nothing"), 1, "damaged"),
    "text": (lambda path: path.write_text("1,2,3\n"), 1, "not what its suffix says"),
    "an empty folder": (lambda path: path.mkdir(), 1, "no images"),
    "objects": (arrays(x=np.array([{}, {}])), 1, "x holds Python objects, which are never loaded"),
    "no x": (arrays(images=X), 1, "no array x in it; it has images"),
    "lengths": (arrays(x=X, y=np.arange(3)), 1, "y has 3 values for 30 samples"),
    "NaN": (arrays(x=with_value(np.nan)), 1, "x has NaN in row 3"),
    "Inf": (arrays(x=with_value(-np.inf)), 1, "x has inf in row 3"),
    "overflow": (arrays(x=with_value(1e300, "float64")), 1, "1e+300 in row 3, more than a float32"),
    "one axis": (arrays(x=X[:, 0]), 1, "at least two axes"),
    "no samples": (arrays(x=X[:0]), 1, "x holds no samples"),
    "text in x": (arrays(x=np.array([["a"], ["b"]])), 1, "x has dtype <U1"),
}

BAD_OPTIONS: dict[str, str] = {
    "--budget 0": "budget must be at least 1; got 0",
    "--budget -3": "budget must be at least 1; got -3",
    "--budget many": "'many' is not a valid integer",
    "--preset fast": "'fast' is not one of 'adaptive', 'fixed', 'paper'",
    "--latent-encoder cnn": "'cnn' is not one of 'linear', 'mlp'",
    "--objective fun": "'fun' is not one of 'profile', 'pairwise'",
    "--support -1": "support must be at least 0; got -1",
    "--epochs -1": "epochs must be at least 0; got -1",
    "--warmup 0": "warmup must be at least 1; got 0",
    "--seed -1": "seed must be at least 0 and at most 9223372036854775807; got -1",
    "--latent-dim 0": "got 0",
    "--latent-dim 12": "lower the latent dimension",
    "--device tpu": "device must be auto, cpu, cuda or cuda:i; got 'tpu'",
    "--device cuda:99": "device cuda:99 is not available here",
    "--no-such-option 1": "No such option",
}


@pytest.fixture
def half(data: Path, state: Path) -> Path:
    """Return a state that has counted the first 200 samples of data, with two checkpoints."""
    for number in (150, 50):
        answer("run", data, "--state", state, *TINY, "--warmup", 50, "--max-samples", number)
    return state


def damage(file: Path) -> None:
    """Change one byte in the middle of a file."""
    stored = bytearray(file.read_bytes())
    stored[len(stored) // 2] ^= 1
    file.write_bytes(stored)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["build", "run"])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_file(tmp_path: Path, command: str, kind: str) -> None:
    """The line names the file and what is wrong with it; nothing is counted or written."""
    write, exit_code, words = BAD_FILES[kind]
    path, target = tmp_path / "bad.npz", tmp_path / "target"
    write(path)
    where = "--out" if command == "build" else "--state"
    line = refusal(command, path, where, target, *TINY, exit_code=exit_code)
    assert line.startswith(f"Error: {path}: ")
    assert words in line
    assert not any(content(target).values())


@pytest.mark.parametrize("command", ["build", "run"])
@pytest.mark.parametrize("words", BAD_OPTIONS)
def test_bad_option(tmp_path: Path, data: Path, command: str, words: str) -> None:
    """Settings that cannot be are wrong usage, and the line has what was given."""
    target = tmp_path / "target"
    where = "--out" if command == "build" else "--state"
    line = refusal(command, data, where, target, *TINY, *words.split(), exit_code=2)
    assert BAD_OPTIONS[words] in line
    assert not any(content(target).values())


@pytest.mark.parametrize(
    "words",
    [
        "build data.npz",
        "build data.npz --out new --state other",
        "build --out new",
        "build data.npz more.npz --out new",
        "run",
        "run data.npz",
        "run --state new",
        "run data.npz --state new --topic t",
        "run --state new --topic t",
        "run data.npz --state new --snapshot-every often",
        "run data.npz --state new --checkpoint-every 0",
        "run data.npz --state new --retrain-every -5s",
        "run data.npz --state new --max-samples 0",
        "run data.npz --state new --start middle",
        "run --state new --topic t --bootstrap-servers x:1 --shape wide",
        "run --state new --topic t --bootstrap-servers x:1 --dtype float99",
        "run data.npz --state new --retrain-every 100 --train-epochs 0",
        "produce data.npz",
        "produce data.npz --topic t",
        "query",
        "query SELECT --format xml --state new",
        "snapshots list",
        "snapshots plot",
        "train",
    ],
)
def test_wrong_usage(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """Options that are missing, contradict each other or are invalid touch nothing at all."""
    monkeypatch.chdir(tmp_path)
    refusal(*words.split(), exit_code=2)
    assert list(tmp_path.iterdir()) == [data]


@pytest.mark.parametrize(
    "words",
    [
        "build data.npz --out data.npz",
        "build data.npz --out .",
        "build data.npz --out data.npz/new",
        "build data.npz --state data.npz",
        "run data.npz --state data.npz",
        "run data.npz --state data.npz/new",
        "build data.npz --out new --generation nowhere",
        "build data.npz --out new --generation data.npz",
        "build data.npz --out new --generation .",
        "query SELECT --state nowhere",
        "query SELECT --snapshot nowhere",
        "query SELECT --snapshot data.npz",
        "snapshots list --state nowhere",
        "snapshots show --state nowhere",
        "snapshots export new.npz --state nowhere",
        "snapshots plot new.png --snapshot nowhere",
        "train --state nowhere",
    ],
)
def test_unusable_folder(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """A path in the way, and a state, snapshot or generation that is none, are left as found."""
    monkeypatch.chdir(tmp_path)
    before = content(tmp_path)
    options = TINY if words.split(maxsplit=1)[0] in {"build", "run"} else ()
    refusal(*words.split(), *options, exit_code=4)
    assert list(tmp_path.iterdir()) == [data]
    assert content(tmp_path) == before


def test_another_configuration(data: Path, half: Path) -> None:
    """A state goes on with its own settings; the line has those that differ, both ways."""
    before = content(half)
    words = ["run", data, "--state", half, *TINY, "--budget", 25, "--seed", 3]
    line = refusal(*words, exit_code=4)
    assert "budget is 20 there, 25 here; seed is 0 there, 3 here" in line
    assert content(half) == before


def test_another_source(tmp_path: Path, half: Path) -> None:
    """What has been counted cannot go on with another file; the line names both."""
    other, before = write_data(tmp_path / "other.npz", 100), content(half)
    line = refusal("run", other, "--state", half, *TINY, exit_code=4)
    assert str(tmp_path / "data.npz") in line
    assert str(other) in line
    assert content(half) == before


def test_file_that_has_changed(data: Path, half: Path) -> None:
    """A file of the same name with other samples is another source."""
    before = content(half)
    write_data(data, N + 1)
    assert f"'n': {N + 1}" in refusal("run", data, "--state", half, *TINY, exit_code=4)
    assert content(half) == before


@pytest.mark.slow
def test_state_in_use(data: Path, state: Path) -> None:
    """Two processes never write to one state; the lock goes with the process that has it."""
    with silent_broker() as (address, server):
        kafka = ("--topic", "t", "--bootstrap-servers", address)
        with command_process("run", *kafka, "--state", state, *TINY) as holder:
            server.accept()[0].close()
            for command in ("run", "build"):
                line = refusal(command, data, "--state", state, *TINY, exit_code=4)
                assert f"{state} is in use by another process" in line
            holder.kill()
            finish(holder)
    assert answer("run", data, "--state", state, *TINY)["n"] == N


def test_corrupt_checkpoint_falls_back(data: Path, half: Path) -> None:
    """The checkpoint before is used, which loses nothing; the damaged one is named."""
    _, newest = units(half / "checkpoints")
    damage(half / "checkpoints" / newest / "sketch.safetensors")
    result = run_command("run", data, "--state", half, *TINY, "--warmup", 50)
    assert (result.exit_code, result.json()["n"], result.json()["samples"]) == (0, N, 150)
    (line, _note) = result.stderr.splitlines()
    assert "WARNING" in line
    assert f"{newest}/sketch.safetensors is damaged" in line


def test_corrupt_checkpoints_all(data: Path, half: Path) -> None:
    """Without one that is whole, a state is never silently begun again."""
    for checkpoint in units(half / "checkpoints"):
        damage(half / "checkpoints" / checkpoint / "manifest.json")
        (half / "checkpoints" / checkpoint / "sketch.safetensors").write_bytes(b"")
    before = content(half)
    result = run_command("run", data, "--state", half, *TINY)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.splitlines()[-1].startswith("Error: all 2 checkpoints in ")
    assert content(half) == before


def test_generation_of_other_samples(tmp_path: Path, data: Path) -> None:
    """A generation fits samples of its own shape and dtype only."""
    answer("build", data, "--out", tmp_path / "built", *TINY)
    wide = write_data(tmp_path / "wide.npz", x=np.ones((N, 8), np.float32))
    words = ["build", wide, "--out", tmp_path / "new", *TINY, "--generation", tmp_path / "built"]
    line = refusal(*words, exit_code=1)
    assert "expected samples of shape (4,) and dtype float32; got shape (8,)" in line
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize("words", ["snapshots export new.npz", "snapshots plot new.png", "train"])
def test_damaged_snapshot(
    tmp_path: Path, half: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """A changed byte is noticed before anything is made of it."""
    monkeypatch.chdir(tmp_path)
    newest = half / "snapshots" / units(half / "snapshots")[-1]
    damage(newest / "coreset.parquet")
    before = content(tmp_path)
    line = refusal(*words.split(), "--snapshot", newest, "--state", half, exit_code=4)
    assert "coreset.parquet is damaged" in line
    assert content(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT nothing FROM coreset", '"nothing" not found'),
        ("SELECT * FROM nowhere", "nowhere does not exist"),
        ("SELECT 'a'::INT", "Could not convert string 'a'"),
    ],
)
def test_wrong_sql(half: Path, sql: str, words: str) -> None:
    """What the database says about it, in one line."""
    line = refusal("query", sql, "--state", half, exit_code=1)
    assert line.startswith("Error: the query failed: ")
    assert words in line


# A client of kafka-python that finds no broker leaves its last socket to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("command", ["run", "produce"])
def test_no_broker(data: Path, state: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A broker that is not there is named, and what was tried; nothing was counted."""
    # Not the ten seconds that users wait.
    monkeypatch.setitem(COMMON_OPTIONS, "bootstrap_timeout_ms", 1_000)
    kafka = ("--topic", "events", "--bootstrap-servers", f"127.0.0.1:{free_ports(1)[0]}")
    words = ["--state", state, *TINY] if command == "run" else [data]
    line = refusal(command, *kafka, *words, exit_code=3)
    assert kafka[-1] in line
    assert "events" in line
    assert "is the broker up?" in line
    assert not any(content(state).values())
    gc.collect()


def test_unknown_topic(broker: Broker, make_topic: MakeTopic, state: Path) -> None:
    """A topic is never made by reading it; the line has the one that may have been meant."""
    topic = make_topic()
    kafka = ("--topic", topic[:-1], "--bootstrap-servers", broker.bootstrap)
    line = refusal("run", *kafka, "--until-end", "--state", state, *TINY, exit_code=3)
    assert f"topic {topic[:-1]} does not exist" in line
    assert line.endswith(f"did you mean {topic}?")
    assert not any(content(state).values())


def test_another_topic(broker: Broker, make_topic: MakeTopic, data: Path, state: Path) -> None:
    """A state of one topic does not go on with another."""
    kafka = ("--bootstrap-servers", broker.bootstrap)
    counted, other = make_topic(), make_topic()
    answer("produce", data, *kafka, "--topic", counted)
    words = ["run", *kafka, "--until-end", "--state", state, *TINY, "--topic"]
    answer(*words, counted)
    before = content(state)
    line = refusal(*words, other, exit_code=4)
    assert counted in line
    assert other in line
    assert content(state) == before


def test_other_samples_in_mid_stream(broker: Broker, make_topic: MakeTopic, state: Path) -> None:
    """Shape and dtype are those of the first sample, over restarts; others are put aside."""
    topic, good = make_topic(), {"x": [1.0, 2.0, 3.0, 4.0]}
    wide = json.dumps({"x": [1.0, 2.0]}).encode()
    double = (json.dumps(good).encode(), [("dtype", b"float64")])
    kafka = ("--topic", topic, "--bootstrap-servers", broker.bootstrap)
    words = ["run", *kafka, "--until-end", "--state", state, *TINY]
    for first in (True, False):
        with KafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            if first:
                producer.send(topic, json.dumps(good).encode())
            producer.send(topic, wide)
            producer.send(topic, double[0], headers=double[1])
            producer.send(topic, json.dumps(good).encode())
        report = answer(*words)
        assert (report["samples"], report["rejected"]) == (2 if first else 1, 2)
    lines = (state / "dead-letters" / "000000000001.jsonl").read_text().splitlines()
    dead_letters = [json.loads(line) for line in lines if line]
    assert [dead_letter["reason"] for dead_letter in dead_letters] == ["schema"] * 4
    assert [base64.b64decode(dead_letter["value"]) for dead_letter in dead_letters] == [
        wide,
        double[0],
    ] * 2
