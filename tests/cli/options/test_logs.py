"""`run --log-level` and `--log-format`: what is logged, and how a line looks."""

import json
import logging
import re
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from echo_stream.cli.output.watching import watched
from tests.support.commands import TINY, N, Result, refusal, run_command, write_data

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs over a small file, with further options."""
    data = write_data(tmp_path / "data.npz")

    def run_with(*words: object) -> Result:
        result = run_command("run", data, "--state", tmp_path / "state", *TINY, *words)
        assert result.exit_code == 0, result.stderr
        return result

    return run_with


def lines(result: Result) -> list[Any]:
    """Return the log as JSON, line by line."""
    return [json.loads(line) for line in result.stderr.splitlines()]


def test_a_short_run_says_what_it_took(run: Run) -> None:
    """What went well needs no other words."""
    (line,) = run().stderr.splitlines()
    assert line.startswith("Note: ")


def test_info_tells_what_happens(run: Run) -> None:
    """Phases, checkpoint and snapshot have a line each, with time, level and fields."""
    _note, *found = run("--log-level", "info").stderr.splitlines()
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 INFO echo_stream\.\S+ "
    assert all(re.match(form, line) for line in found), found
    assert any(line.endswith('the run is warming up phase="warming up" n=0') for line in found)
    (checkpoint,) = [line for line in found if "checkpoint is durable" in line]
    assert re.search(rf" n={N} seconds=\d", checkpoint)
    assert any(re.search(r"snapshot is durable snapshot=\S+ coreset_size=\d+", x) for x in found)


def test_json_has_an_object_a_line(run: Run) -> None:
    """Fields keep their types; times are of UTC."""
    found = lines(run("--log-level", "info", "--log-format", "json"))
    (checkpoint,) = [each for each in found if each["message"] == "checkpoint is durable"]
    assert (checkpoint["level"], checkpoint["n"]) == ("info", N)
    assert datetime.fromisoformat(checkpoint["time"]).utcoffset() is not None
    assert checkpoint["logger"] == "echo_stream.connectors.runner.monitor"


def test_all_that_is_said_is_an_object(run: Run, tmp_path: Path) -> None:
    """Also how a run has ended, and why one was refused: nothing else is on stderr."""
    note, told = lines(run("--log-format", "json", "--max-samples", 3, "--warmup", 5))
    assert " using array x as features" in note["message"]
    assert told["message"] == "the snapshot is provisional: 3 of 5 samples of the warm-up"
    assert (told["level"], told["logger"]) == ("info", "echo_stream.cli")
    words = ["run", tmp_path / "no.npz", "--state", tmp_path / "new", "--log-format", "json"]
    (refused,) = lines(run_command(*words))
    assert (refused["level"], "no such file" in refused["message"]) == ("error", True)
    (wrong,) = lines(run_command("run", "--state", tmp_path, "--log-format", "json"))
    assert "give either DATA or --topic" in wrong["message"]


def test_the_environment_sets_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other option."""
    monkeypatch.setenv("ECHO_STREAM_LOG_LEVEL", "info")
    monkeypatch.setenv("ECHO_STREAM_LOG_FORMAT", "json")
    assert len(lines(run())) > 2


@pytest.mark.parametrize(
    ("words", "passes"),
    [
        ([], ["echo_stream.x WARNING", "echo_stream.status INFO"]),
        (["--log-level", "error"], []),
        (
            ["--log-level", "info"],
            ["echo_stream.x INFO", "echo_stream.x WARNING", "echo_stream.status INFO",
             "kafka.client WARNING"],
        ),
        (
            ["--log-level", "debug"],
            ["echo_stream.x INFO", "echo_stream.x WARNING", "echo_stream.status INFO",
             "kafka.client INFO", "kafka.client WARNING"],
        ),
    ],
)  # fmt: skip
def test_levels_are_of_ours_and_of_the_client(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], passes: list[str]
) -> None:
    """The client's lines are there on demand; the status line unless told otherwise."""
    from echo_stream.connectors.app import consumer  # noqa: PLC0415 - only here

    def speak(*arguments: Any, **options: Any) -> Any:
        for name in ("echo_stream.x", "echo_stream.status", "kafka.client"):
            logger = logging.getLogger(name)
            logger.info("here")
            if name != "echo_stream.status":
                logger.warning("here")
        return loud(*arguments, **options)

    loud = consumer.consume
    monkeypatch.setattr(consumer, "consume", speak)
    found = re.findall(r"(\w+) (\S+) here$", run(*words).stderr, re.M)
    assert sorted(f"{name} {level}" for level, name in found) == sorted(passes)


def test_the_client_is_heard_when_asked_for() -> None:
    """Of a broker that is not there, -v shows what the client says, else the error alone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    words = ["dlq", "list", "--dead-letter-topic", "t", "--bootstrap-servers", address,
             "--kafka", "bootstrap_timeout_ms=300"]  # fmt: skip
    refusal(*words, exit_code=3)
    assert re.search(r" (WARNING|ERROR) kafka\.", run_command("-v", *words).stderr)


def test_a_line_a_minute_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has the numbers that a terminal shows, as fields."""
    monkeypatch.setattr("echo_stream.cli.output.watching.LOG_EVERY_S", 0.01)
    caplog.set_level(logging.INFO)
    with watched(None):
        while not caplog.records:
            pass
    record = vars(caplog.records[0])
    assert (record["name"], record["phase"]) == ("echo_stream.status", "starting")
    assert (record["n"], record["rate"], record["rejected"]) == (0, 0.0, 0)
