"""Hooks: at least once for each snapshot and model, whatever goes wrong meanwhile."""

import json
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from echo_stream.connectors.kafka.sink import ProduceConfig
from echo_stream.connectors.storage.units import write_unit
from echo_stream.connectors.training import hooks as hooks_module
from echo_stream.connectors.training.hooks import Event, Hook, Hooks, command_hook, topic_hook
from echo_stream.errors import ConfigError, InfrastructureError
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

PATIENCE_SECONDS = 60.0


def add(state: Path, name: str, kind: str = "snapshot", **manifest: Any) -> Path:
    """Write a unit that is to be heard of."""
    unit = state / f"{kind}s" / name
    file = "manifest.json" if kind == "snapshot" else "metrics.json"
    write_unit(unit, {}, {"id": name, **manifest}, manifest_name=file)
    return unit


class Heard:
    """A hook that writes down what it hears, and fails as often as it is told."""

    def __init__(self, failures: int = 0, always_fails: str = "") -> None:
        self.ids: list[str] = []
        self.tries: list[str] = []
        self._failures, self._always_fails = failures, always_fails

    def __call__(self, event: Event, _: threading.Event) -> None:
        """Hear of an event."""
        self.tries.append(event.unit.name)
        if event.unit.name == self._always_fails or len(self.tries) <= self._failures:
            msg = "not now"
            raise InfrastructureError(msg)
        self.ids.append(event.unit.name)


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and try again soon."""
    monkeypatch.setattr(hooks_module, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(hooks_module, "FIRST_WAIT_S", 0.02)


def test_each_is_heard_once_in_order(tmp_path: Path) -> None:
    """Of what was there before a new hook hears nothing; of all else, after a restart too."""
    add(tmp_path, "000-old")
    heard = Heard()
    with Hooks(tmp_path, [Hook("h", "snapshot", heard)]):
        add(tmp_path, "001")
        wait_for(lambda: heard.ids == ["001"])
    for name in ("003", "002"):
        add(tmp_path, name)
    with Hooks(tmp_path, [Hook("h", "snapshot", heard)]):
        pass
    assert heard.ids == ["001", "002", "003"]


def test_what_fails_is_tried_again_and_holds_up_nobody(tmp_path: Path) -> None:
    """For ever, and at the end, and in the next run."""
    heard = Heard(always_fails="001")
    with Hooks(tmp_path, [Hook("h", "snapshot", heard)]):
        add(tmp_path, "001")
        add(tmp_path, "002")
        wait_for(lambda: heard.tries.count("001") > 2)
    assert heard.ids == ["002"]
    recovered = Heard()
    with Hooks(tmp_path, [Hook("h", "snapshot", recovered)]):
        wait_for(lambda: recovered.ids == ["001"])


def test_only_models_of_the_run_are_heard_of(tmp_path: Path) -> None:
    """Those that somebody trains by hand have no verdict."""
    heard = Heard()
    with Hooks(tmp_path, [Hook("h", "model", heard)]):
        add(tmp_path, "1", "model", verdict=None)
        add(tmp_path, "2", "model", verdict={"is_current": True})
    assert heard.ids == ["2"]


def test_damaged_ledger_is_told_and_delivers_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rather than everything again."""
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "h.json").write_text("{")
    add(tmp_path, "001")
    heard = Heard()
    with Hooks(tmp_path, [Hook("h", "snapshot", heard)]):
        pass
    assert heard.ids == []
    assert "h.json is damaged" in caplog.text


def command(code: str) -> str:
    """Return a command that runs Python."""
    return shlex.join([sys.executable, "-S", "-c", code])


def test_command_gets_the_path_and_the_environment(tmp_path: Path) -> None:
    """Without a shell: the path is one word, whatever is in it."""
    state = tmp_path / "a b; $(c)"
    unit = add(state, "7", "model", verdict={"is_current": False})
    out = tmp_path / "out"
    names = ("ID", "KIND", "CURRENT")
    code = (
        "import json, os, sys; e = os.environ; json.dump([sys.argv[1:], "
        f"*(e['ECHO_STREAM_HOOK_' + n] for n in {names!r})], open({str(out)!r}, 'w'))"
    )
    manifest = json.loads((unit / "metrics.json").read_text())
    command_hook(command(code), None)(Event("model", unit, manifest), threading.Event())
    assert json.loads(out.read_text()) == [[str(unit)], "7", "model", "0"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('one'); raise SystemExit('the reason')", "exit code 1: the reason"),
        ("import time; time.sleep(600)", "was killed after 0.3 s"),
    ],
)
def test_command_that_fails(tmp_path: Path, code: str, words: str) -> None:
    """Its last line is told; one that hangs is killed."""
    with pytest.raises(InfrastructureError, match=words):
        command_hook(command(code), 0.3 if "sleep" in code else None)(
            Event("snapshot", add(tmp_path, "1"), {}), threading.Event()
        )


def test_command_that_is_not_there(tmp_path: Path) -> None:
    """It may be, the next time."""
    with pytest.raises(InfrastructureError, match="cannot run /no/such"):
        command_hook("/no/such", None)(Event("snapshot", add(tmp_path, "1"), {}), threading.Event())


@pytest.mark.parametrize("text", ["", "'open"])
def test_command_that_is_none(text: str) -> None:
    """Refused when the run begins."""
    with pytest.raises(ConfigError, match="a hook's command must"):
        command_hook(text, None)


def test_command_under_way_is_ended_with_the_run(tmp_path: Path) -> None:
    """Its children too; it is run again by the next."""
    told = tmp_path / "told"
    code = (
        "import os, pathlib, time; "
        f"pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(600)"
    )
    hooks = Hooks(tmp_path, [Hook("h", "snapshot", command_hook(command(code), None))])
    with hooks:
        add(tmp_path, "001")
        wait_for(lambda: told.exists() and bool(told.read_text()))
        hooks.finish(0.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), signal.SIGCONT)
    heard = Heard()
    with Hooks(tmp_path, [Hook("h", "snapshot", heard)]):
        pass
    assert heard.ids == ["001"]


def test_manifests_go_to_a_topic(tmp_path: Path, broker: Broker, make_topic: MakeTopic) -> None:
    """As JSON, with the id as key and the kind as a header."""
    topic = make_topic()
    send = topic_hook(ProduceConfig(topic, broker.bootstrap))
    with Hooks(tmp_path, [Hook("s", "snapshot", send), Hook("m", "model", send)]):
        add(tmp_path, "001", n=60)
        add(tmp_path, "t-1", "model", verdict={"is_current": True})
    consumer = KafkaConsumer(
        topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest",
        consumer_timeout_ms=5_000, max_poll_records=2,
    )  # fmt: skip
    try:
        records = [next(consumer), next(consumer)]
    finally:
        consumer.close()
    found = {
        record.key.decode(): (dict(record.headers)["kind"], json.loads(record.value))
        for record in records
    }
    assert found["001"][0] == b"snapshot"
    assert found["001"][1]["n"] == 60
    assert found["t-1"][0] == b"model"
    assert found["t-1"][1]["verdict"] == {"is_current": True}
