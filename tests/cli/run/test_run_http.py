"""`echo-stream run --http`: a run that can be asked while it goes on."""

import json
import re
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.commands import (
    TINY,
    command_process,
    finish,
    on,
    refusal,
    run_command,
    send,
    units,
    wait_until,
    write_data,
)
from tests.support.http.rig import Answer, ask
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

TOKEN = "correct-horse-battery"


def ask_until(url: str, code: int) -> Answer:
    """Ask until the answer has a code."""
    for _ in range(10_000):
        answer = ask(url)
        if answer.code == code:
            return answer
    raise AssertionError(answer)


def test_a_run_is_alive_then_ready_then_gone(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """It listens before it reads, is ready once it counts, shows its lag, and frees the port."""
    topic = make_topic(partitions=1)
    send(broker, topic, [json.dumps({"x": [1.0, 2.0]}).encode()] * 30 + [b"junk"])
    words = [*on(broker, topic), "--state", tmp_path / "state", "--warmup", 100, *TINY]
    with command_process("run", *words, "--http", "127.0.0.1:0") as process:
        assert process.stderr is not None
        url = process.stderr.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert ask(f"{url}/healthz").code == 200
        assert all(ask_until(f"{url}/readyz", 200).json()["checks"].values())
        lag = f'echo_stream_consumer_lag_records{{partition="0",topic="{topic}"}} 0.0'
        while lag not in (text := ask(f"{url}/metrics").body.decode()).splitlines():
            assert process.poll() is None
        assert f'echo_stream_next_offset{{partition="0",topic="{topic}"}} 31.0' in text
        assert 'echo_stream_records_rejected_total{reason="decode"} 1.0' in text
        assert ask(f"{url}/status").json()["offsets"] == {f"{topic}/0": 31}
        process.send_signal(signal.SIGTERM)
        assert finish(process).exit_code == 0
    with pytest.raises(OSError, match="refused"):
        ask(url)


def test_a_port_in_use_is_refused_before_anything_begins(tmp_path: Path) -> None:
    """No state is made; the line names the address and the option."""
    data, state = write_data(tmp_path / "data.npz"), tmp_path / "state"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["run", data, "--state", state, *TINY, "--http", f"127.0.0.1:{port}"]
        line = refusal(*words, exit_code=2)
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line
    assert not state.exists()


def test_other_addresses_need_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says how to give one; neither file nor variable is shown."""
    data, secret = write_data(tmp_path / "data.npz"), tmp_path / "token"
    words = ["run", data, "--state", tmp_path / "state", *TINY, "--http", "0.0.0.0:0"]
    assert "ECHO_STREAM_HTTP_TOKEN gives a token" in refusal(*words, exit_code=2)
    secret.write_text("short\n")
    secret.chmod(0o600)
    line = refusal(*words, "--http-token-file", secret, exit_code=2)
    assert "16 or more characters" in line
    assert "short" not in line
    monkeypatch.setenv("ECHO_STREAM_HTTP_TOKEN", TOKEN)
    assert "not both" in refusal(*words, "--http-token-file", secret, exit_code=2)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o622, 0o600, 0o440])
def test_a_token_that_others_can_read_is_told(mode: int, tmp_path: Path) -> None:
    """It is taken, as the owner may want it so, and the line says what to do."""
    data, secret = write_data(tmp_path / "data.npz"), tmp_path / "token"
    secret.write_text(f"{TOKEN}\n")
    secret.chmod(mode)
    words = ["run", data, "--state", tmp_path / "state", *TINY, "--http", "127.0.0.1:0"]
    result = run_command(*words, "--http-token-file", secret)
    assert result.exit_code == 0, result.stderr
    assert (f"chmod 600 {secret}" in result.stderr) == (mode not in {0o600, 0o440})
    assert TOKEN not in result.stderr


def test_settings_may_come_from_a_file(tmp_path: Path) -> None:
    """Address and token file are settings like others."""
    data, settings = write_data(tmp_path / "data.npz"), tmp_path / "echo.toml"
    settings.write_text('[run]\nhttp = "0.0.0.0:0"\n')
    words = ["run", data, "--state", tmp_path / "state", *TINY, "--config", settings]
    assert "must be on a loopback address" in refusal(*words, exit_code=2)


def test_silent_connections_do_not_end_a_run(
    broker: Broker, make_topic: MakeTopic, tmp_path: Path
) -> None:
    """More of them than there are descriptors: it is asked, counts, and writes its snapshot."""
    topic, state = make_topic(partitions=1), tmp_path / "state"
    message = json.dumps({"x": [1.0, 2.0]}).encode()
    words = [*on(broker, topic), "--state", state, "--warmup", 30, *TINY, "--checkpoint-every", 10]
    with (
        command_process("run", *words, "--http", "127.0.0.1:0", descriptors=200) as process,
        ExitStack() as stack,
    ):
        assert process.stderr is not None
        url = process.stderr.readline().strip()
        port = int(url.rpartition(":")[2])
        for number in range(260):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            if number % 2:
                client.sendall(b"GET /status HTTP/1.1\r\n")
        send(broker, topic, [message] * 30)
        wait_until(lambda: ask(f"{url}/status").json()["checkpoints"], process)
        told = ask(f"{url}/status").json()["http"]
        assert told["limit"] == 50
        assert told["dropped"]["too_many_connections"] >= 210
        assert told["failures"] == 0
        process.send_signal(signal.SIGTERM)
        result = finish(process)
    assert result.exit_code == 0, result.stderr
    assert result.json()["n"] == 30
    assert units(state / "snapshots")
    assert result.stderr.count("all 50 http connections are taken") == 1
    assert "Too many open files" not in result.stderr
