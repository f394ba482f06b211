"""`echo-stream run`: a data file or topics, read as a stream that can be resumed."""

import base64
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.commands import (
    TINY,
    N,
    answer,
    command_process,
    content,
    finish,
    newest_checkpoint,
    on,
    refusal,
    run_command,
    send,
    units,
    wait_until,
    write_data,
)
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic


def test_file_is_read_once(data: Path, state: Path) -> None:
    """All samples are counted; the end leaves a checkpoint and a snapshot."""
    report = answer("run", data, "--state", state, *TINY)
    assert (report["n"], report["samples"], report["rejected"]) == (N, N, 0)
    assert len(units(state / "checkpoints")) == report["checkpoints"] == 1
    assert units(state / "snapshots") == report["snapshots"]
    assert answer("snapshots", "show", "--state", state)["n"] == N


def test_file_that_has_been_read_brings_nothing_new(data: Path, state: Path) -> None:
    """To run again is harmless: no sample is counted twice."""
    first = answer("run", data, "--state", state, *TINY)
    second = answer("run", data, "--state", state, *TINY)
    assert (second["n"], second["samples"]) == (N, 0)
    assert second["snapshots"] == first["snapshots"] == units(state / "snapshots")


@pytest.mark.slow
def test_parts_make_the_coreset_of_the_whole(tmp_path: Path, data: Path, state: Path) -> None:
    """Stopped and resumed, a stream ends in the very snapshot of a build."""
    built = answer("build", data, "--out", tmp_path / "built", *TINY)
    words = ["run", data, "--state", state, *TINY, "--generation", tmp_path / "built"]
    parts = [answer(*words, "--max-samples", number) for number in (1, 99, 1_000)]
    assert [part["samples"] for part in parts] == [1, 99, 200]
    assert parts[-1]["snapshots"] == [built["id"]]


def test_snapshots_at_an_interval_of_samples(data: Path, state: Path) -> None:
    """Intervals are counted from the start of the stream, over restarts too."""
    words = ["run", data, "--state", state, *TINY, "--warmup", 50, "--snapshot-every", 100]
    answer(*words, "--max-samples", 130)
    answer(*words)
    listed = answer("snapshots", "list", "--state", state)
    assert [snapshot["n"] for snapshot in listed] == [100, 130, 200, 300]


def test_checkpoints_at_an_interval_of_samples(data: Path, state: Path) -> None:
    """So many are written, and the newest three kept."""
    report = answer("run", data, "--state", state, *TINY, "--checkpoint-every", 50)
    assert report["checkpoints"] > N // 50
    assert len(units(state / "checkpoints")) == 3


def test_warm_up_outlives_a_restart(data: Path, state: Path) -> None:
    """Samples held back are not lost; until the generation is there a snapshot is provisional."""
    words = ["run", data, "--state", state, *TINY, "--warmup", 150]
    stopped = run_command(*words, "--max-samples", 100)
    assert "the snapshot is provisional: 100 of 150 samples of the warm-up" in stopped.stderr
    (name,) = stopped.json()["snapshots"]
    assert answer("status", "--state", state)["snapshot_provisional"]
    (listed,) = answer("snapshots", "list", "--state", state)
    assert (listed["id"], listed["n"], listed["provisional"]) == (name, 100, True)
    sql = "SELECT provisional, (SELECT sum(weight) FROM coreset) AS weight FROM snapshots"
    for asked in (
        run_command("query", sql, "--state", state),
        run_command("train", "--state", state, "--model", "mlp", "--train-steps", 1),
    ):
        assert asked.exit_code == 0, asked.stderr
        assert f"the snapshot {name} is provisional: it is of 100 of 150" in asked.stderr
    assert answer("query", sql, "--state", state) == [
        {"provisional": True, "weight": pytest.approx(100)}
    ]
    resumed = answer(*words, "--max-samples", 100)
    assert (resumed["n"], len(resumed["snapshots"])) == (200, 1)
    assert [each["provisional"] for each in answer("snapshots", "list", "--state", state)] == [
        True,
        False,
    ]


@pytest.mark.slow
def test_a_provisional_snapshot_changes_nothing(tmp_path: Path, data: Path, state: Path) -> None:
    """A warm-up that was stopped ends in the snapshot of one that was not."""
    words = ["run", data, *TINY, "--warmup", 150]
    answer(*words, "--state", state, "--max-samples", 1)
    answer(*words, "--state", state, "--max-samples", 99)
    parted = answer(*words, "--state", state)
    assert parted["snapshots"] == answer(*words, "--state", tmp_path / "whole")["snapshots"]


def test_settings_that_may_change_on_restart(data: Path, state: Path) -> None:
    """Only what shapes the coreset is fixed for a state."""
    answer("run", data, "--state", state, *TINY, "--warmup", 50, "--max-samples", 100)
    changed = ("--warmup", 70, "--device", "cpu", "--checkpoint-every", 20, "--snapshot-every", 90)
    assert answer("run", data, "--state", state, *TINY, *changed)["n"] == N


def test_expected_n_refines_the_grid(tmp_path: Path, data: Path) -> None:
    """A stream that says how long it will be gets the cells for it."""
    sides = []
    for name, options in (("a", ()), ("b", ("--expected-n", 60_000))):
        answer("run", data, "--state", tmp_path / name, *TINY, *options)
        manifest = answer("snapshots", "show", "--state", tmp_path / name)
        sides.append(manifest["quantiser"]["side"])
    assert sides[0] < sides[1] == 23


def test_generation_of_another_state_is_refused(tmp_path: Path, data: Path, state: Path) -> None:
    """A state goes on with its own generation or not at all."""
    answer("build", data, "--out", tmp_path / "other", *TINY, "--standardise")
    answer("run", data, "--state", state, *TINY, "--max-samples", 100, "--warmup", 50)
    before = content(state)
    words = ["run", data, "--state", state, *TINY, "--generation", tmp_path / "other"]
    assert "leave --generation out" in refusal(*words, exit_code=4)
    assert content(state) == before


@pytest.mark.slow
def test_retraining_beside_the_stream(data: Path, state: Path) -> None:
    """A child trains on a snapshot meanwhile, and then on the newest that has become due."""
    result = run_command(
        "-v", "run", data, "--state", state, *TINY, "--warmup", 50, "--retrain-every", 100,
        "--model", "mlp", "--train-steps", 5, "--test", data,
    )  # fmt: skip
    report = result.json()
    assert (report["n"], report["retrainings"]) == (N, 2)
    for trained_on in (report["snapshots"][0], report["snapshots"][-1]):
        assert re.search(rf"trained on {trained_on}: \d+ labels, accuracy 0\.", result.stderr)
    assert "INFO echo_stream.connectors.training.trainer" in result.stderr
    models = [json.loads(path.read_text()) for path in (state / "models").glob("*/metrics.json")]
    assert [model["test_samples"] for model in models] == [N, N]


@pytest.mark.slow
def test_retraining_that_fails_is_only_told(data: Path, state: Path) -> None:
    """The stream goes on when its model cannot be trained."""
    result = run_command(
        "run", data, "--state", state, *TINY, "--warmup", 50, "--retrain-every", 100,
        "--model", "lenet",
    )  # fmt: skip
    assert (result.exit_code, result.json()["n"]) == (0, N)
    _note, *lines = result.stderr.splitlines()
    assert len(lines) == result.json()["retrainings"] == 2
    for line in lines:
        assert "the training ended with exit code 2: Error: lenet takes square images" in line


def dead_letters(state: Path) -> list[dict[str, Any]]:
    """Return the messages that have been put aside."""
    lines = (state / "dead-letters" / "000000000001.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line]


def test_partitions_are_resumed_exactly(
    broker: Broker, make_topic: MakeTopic, data: Path, state: Path
) -> None:
    """In parts of any size over four partitions, each message is counted once."""
    topic = make_topic(partitions=4)
    answer("produce", data, *on(broker, topic))
    words = ["run", *on(broker, topic), "--until-end", "--state", state, *TINY, "--support", 1]
    parts = [answer(*words, "--budget", N, "--max-samples", part) for part in (70, 7, 1_000)]
    assert [part["samples"] for part in parts] == [70, 7, N - 77]
    sql = "SELECT count(DISTINCT id) AS ids FROM coreset WHERE role = 'core'"
    assert answer("query", sql, "--state", state) == [{"ids": N}]


def test_topics_make_one_stream(
    broker: Broker, make_topic: MakeTopic, data: Path, state: Path
) -> None:
    """--topic may be repeated; the rows say where they come from."""
    topics = sorted([make_topic(), make_topic()])
    for topic in topics:
        answer("produce", data, *on(broker, topic))
    report = answer("run", *on(broker, *topics), "--until-end", "--state", state, *TINY)
    assert report["n"] == 2 * N
    sql = "SELECT DISTINCT topic FROM coreset ORDER BY topic"
    assert [row["topic"] for row in answer("query", sql, "--state", state)] == topics


def test_start_latest_counts_what_comes_later(
    broker: Broker, make_topic: MakeTopic, data: Path, state: Path
) -> None:
    """Who wants no history begins at the end; a restart goes on from there."""
    topic = make_topic()
    words = ["run", *on(broker, topic), "--until-end", "--state", state, *TINY]
    answer("produce", data, *on(broker, topic))
    assert answer(*words, "--start", "latest")["n"] == 0
    answer("produce", data, *on(broker, topic))
    assert answer(*words)["n"] == N


@pytest.mark.parametrize("message_format", ["auto", "raw"])
def test_raw_messages_of_another_producer(
    broker: Broker, make_topic: MakeTopic, state: Path, message_format: str
) -> None:
    """Bare bytes are read as --dtype and --shape say; ids are topic, partition and offset."""
    topic = make_topic()
    x = np.random.default_rng(7).normal(size=(100, 2, 3)).astype(np.float32)
    send(broker, topic, [sample.tobytes() for sample in x])
    report = answer(
        "run", *on(broker, topic), "--until-end", "--state", state, *TINY,
        "--message-format", message_format, "--dtype", "float32", "--shape", "2,3",
    )  # fmt: skip
    assert (report["n"], report["rejected"]) == (100, 0)
    sql = "SELECT count(*) AS wrong FROM coreset WHERE id <> topic || '-0-' || \"offset\""
    assert answer("query", sql, "--state", state) == [{"wrong": 0}]
    destination = state.with_name("coreset.npz")
    answer("snapshots", "export", destination, "--state", state)
    with np.load(destination) as exported:
        rows = [int(name.rpartition("-")[2]) for name in exported["id"]]
        np.testing.assert_array_equal(exported["x"], x[rows])


def test_bad_messages_are_kept_aside(broker: Broker, make_topic: MakeTopic, state: Path) -> None:
    """What is no sample goes to the dead letters as it came, and the stream goes on."""
    topic = make_topic()
    good = np.arange(4, dtype=np.float32).tobytes()
    bad = [b"junk", None, np.full(4, np.nan, np.float32).tobytes()]
    send(broker, topic, [good, bad[0], good, bad[1], bad[2], good])
    words = [
        "run", *on(broker, topic), "--until-end", "--state", state, *TINY,
        "--dtype", "float32", "--shape", 4,
    ]  # fmt: skip
    result = run_command(*words)
    assert (result.exit_code, result.json()["n"], result.json()["rejected"]) == (0, 3, 3)
    assert f"3 messages were invalid; they are in {state / 'dead-letters'}" in result.stderr
    stored = dead_letters(state)
    assert [
        dead_letter["value"] and base64.b64decode(dead_letter["value"]) for dead_letter in stored
    ] == bad
    assert [dead_letter["origin"]["offset"] for dead_letter in stored] == [1, 3, 4]
    assert [dead_letter["reason"] for dead_letter in stored] == ["schema", "decode", "nonfinite"]
    # The next run begins behind them.
    assert answer(*words)["rejected"] == 0
    assert dead_letters(state) == stored


def test_too_many_bad_messages_stop_the_run(
    broker: Broker, make_topic: MakeTopic, state: Path
) -> None:
    """Bad ones in turn with good ones are half, and pass; three of four are too many."""
    topic, good, bad = make_topic(), b'{"x": [1, 2]}', b"junk"
    words = [
        "run", *on(broker, topic), "--until-end", "--state", state, *TINY,
        "--message-format", "json", "--bad-window", 4, "--warmup", 2, "--latent", "identity",
    ]  # fmt: skip
    send(broker, topic, [good, bad] * 4)
    assert answer(*words)["rejected"] == 4
    send(broker, topic, [bad, bad, good, bad])
    line = refusal(*words, exit_code=5)
    assert "3 of the last 4 messages are invalid (decode: 3), more than --max-bad-share " in line
    assert len(dead_letters(state)) == 7
    # They have been passed: the next run finds nothing new.
    report = answer(*words)
    assert (report["n"], report["rejected"]) == (5, 0)


@pytest.fixture
def running(
    broker: Broker, make_topic: MakeTopic, data: Path, state: Path
) -> Iterator[tuple[list[object], "subprocess.Popen[str]"]]:
    """Run without an end in a process of its own; yields its words, once all is counted."""
    topic = make_topic()
    answer("produce", data, *on(broker, topic))
    words: list[object] = ["run", *on(broker, topic), "--state", state, *TINY, "--warmup", 100]
    with command_process(*words, "--checkpoint-every", N) as process:
        wait_until(lambda: newest_checkpoint(state)["n"] == N, process)
        yield words, process


def test_sigterm_ends_a_run_well(
    running: tuple[list[object], "subprocess.Popen[str]"], data: Path, state: Path
) -> None:
    """Told to end, it exits with 0, a checkpoint and a snapshot; a restart goes on there."""
    words, process = running
    process.terminate()
    result = finish(process)
    report = result.json()
    assert (result.exit_code, report["n"]) == (0, N)
    (line,) = result.stderr.splitlines()
    assert line.startswith("Note: ")
    assert units(state / "snapshots") == report["snapshots"]
    answer("produce", data, *words[1:5])
    resumed = answer(*words, "--until-end")
    assert (resumed["samples"], resumed["n"]) == (N, 2 * N)


def test_sigusr1_writes_a_snapshot(
    running: tuple[list[object], "subprocess.Popen[str]"], state: Path
) -> None:
    """A snapshot can be had at any time, and the run goes on, until Ctrl-C in this case."""
    _, process = running
    assert units(state / "snapshots") == []
    process.send_signal(signal.SIGUSR1)
    wait_until(lambda: units(state / "snapshots"), process)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.exit_code, result.json()["n"]) == (0, N)


def test_model_that_is_not_there_is_told_at_once(data: Path, state: Path) -> None:
    """Not only when the first retraining is due."""
    words = ["run", data, "--state", state, *TINY, "--retrain-every", 10_000]
    assert "module:factory" in refusal(*words, "--model", "nosuch", exit_code=2)
    assert not state.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bootstrap-servers", "localhost", "--topic", "t"), "HOST:PORT"),
        (("--bootstrap-servers", "localhost:abc", "--topic", "t"), "HOST:PORT"),
        (
            ("--bootstrap-servers", "localhost:1", "--topic", "bad topic!"),
            "--topic must be at most 249 letters",
        ),
    ],
)
def test_names_that_no_broker_has(data: Path, state: Path, options: list[str], words: str) -> None:
    """They are refused before anything is tried."""
    assert words in refusal("run", "--state", state, *TINY, *options, exit_code=2)
    assert words in refusal("produce", data, *options, exit_code=2)


@pytest.mark.real_kafka
def test_start_latest_until_end_reads_on_after_a_restart(
    broker: Broker, make_topic: MakeTopic, state: Path, data: Path
) -> None:
    """A source that began at the end is not at its end for ever."""
    topic = make_topic()
    options = [*on(broker, topic), "--state", state, *TINY, "--start", "latest", "--until-end"]
    assert answer("run", *options)["n"] == 0
    answer("produce", data, *on(broker, topic))
    assert answer("run", *options)["n"] == N


def test_edited_file_is_another_source(data: Path, state: Path) -> None:
    """The same name and size with other samples is refused; a moved file goes on."""
    answer("run", data, "--state", state, *TINY, "--max-samples", 100)
    moved = data.rename(data.with_name("moved.npz"))
    assert answer("run", moved, "--state", state, *TINY, "--max-samples", 50)["n"] == 150
    write_data(moved, x=np.zeros((N, 4), dtype=np.float32))
    assert "give another --state" in refusal("run", moved, "--state", state, *TINY, exit_code=4)


def test_generation_of_another_partition_is_refused(tmp_path: Path, data: Path) -> None:
    """A grid's generation under another preset would be neither the one nor the other."""
    answer("build", data, "--out", tmp_path / "grid", *TINY)
    words = ["run", data, "--state", tmp_path / "state", "--generation", tmp_path / "grid"]
    assert "set --preset to paper" in refusal(*words, exit_code=2)
    words += ["--preset", "fixed"]
    assert "set --preset to paper, or --cells to grid" in refusal(*words, exit_code=2)


@pytest.mark.real_kafka
def test_start_latest_is_remembered_before_the_first_sample(
    broker: Broker, make_topic: MakeTopic, state: Path, data: Path
) -> None:
    """A crash before the first checkpoint must not pass over what has come since."""
    topic = make_topic()
    answer("produce", data, *on(broker, topic))
    options = [*on(broker, topic), "--state", state, *TINY, "--start", "latest"]
    with command_process("run", *options, "--checkpoint-every", "never") as process:
        wait_until((state / "checkpoints").is_dir, process)
        wait_until(lambda: units(state / "checkpoints"), process)
        process.kill()
    answer("produce", data, *on(broker, topic))
    assert answer("run", *options, "--until-end")["n"] == N
