"""What is deployed with: the systemd unit, the image, the alerts."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from echo_stream.cli.main import EXIT_CODES, cli
from echo_stream.connectors.http.limits import MAX_CONNECTIONS
from echo_stream.connectors.http.metrics import RunCollector
from echo_stream.connectors.runner.monitor import PHASES, RunMonitor
from tests import ROOT

UNIT = ROOT / "docs/deploy/echo-stream.service"
ALERTS = ROOT / "docs/deploy/alerts.yml"
MONITORING = ROOT / "docs/how-to/monitor-a-run.md"
PROGRAM = "/opt/echo-stream/bin/echo-stream"
MAX_EXPOSURE = 20  # tenths: 2.0 of 10, "OK"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze"
)


def check_words(words: list[str]) -> None:
    """Check that a command line has commands and options that there are."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def check_variables(text: str) -> None:
    """Check that every variable of ours is that of an option."""
    known = {
        parameter.envvar
        for command in cli.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
    }
    found = set(re.findall(r"^\s*(?:Environment=|ENV )?(ECHO_STREAM_\w+)=", text, re.M))
    assert found
    assert found <= known


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that is installed here."""
    path = tmp_path / UNIT.name
    here = Path(sys.executable).parent / "echo-stream"
    path.write_text(UNIT.read_text(encoding="utf-8").replace(PROGRAM, str(here)), encoding="utf-8")
    return path


def test_the_unit_has_descriptors() -> None:
    """More than the 1,024 of systemd, of which HTTP clients may have a quarter."""
    found = re.search(r"^LimitNOFILE=(\d+)$", UNIT.read_text(encoding="utf-8"), re.M)
    assert found
    assert int(found[1]) > 4 * MAX_CONNECTIONS


@needs_systemd
def test_systemd_accepts_the_unit(unit: Path) -> None:
    """Every line means something to it."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_the_unit_exposes_little(unit: Path) -> None:
    """What systemd thinks of it: the network, and its own state."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_calls_what_there_is() -> None:
    """Command, options and variables exist; exit codes that need a person are not retried."""
    text = UNIT.read_text(encoding="utf-8")
    (words,) = re.findall(rf"^ExecStart={PROGRAM} (.+)$", text, re.M)
    check_words(words.split())
    check_variables(text)
    (final,) = re.findall(r"^RestartPreventExitStatus=(.+)$", text, re.M)
    codes = {code for _, code in EXIT_CODES}
    assert {int(code) for code in final.split()} == codes - {1, 3}
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)s$", text, re.M)
    (budget,) = [each for each in cli.commands["run"].params if each.name == "shutdown_budget"]
    assert f"{int(stop_s) - 15}s" == budget.default


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, with lines that go on joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.M)).splitlines()
    return [
        (word, rest.strip()) for word, _, rest in (x.partition(" ") for x in lines if x.strip())
    ]


def last(instruction: str) -> str:
    """Return what the last instruction of a kind says."""
    return [rest for word, rest in instructions() if word == instruction][-1]


def test_the_image_is_built_from_what_there_is() -> None:
    """Only instructions that Docker knows; what is copied exists, and is not ignored."""
    assert {word for word, _ in instructions()} <= {
        "FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "USER", "VOLUME", "STOPSIGNAL",
        "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.M)
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert sorted(copied) == sorted(kept)
    assert all((ROOT / source).exists() for source in copied)
    linked = {path.resolve().name for path in (ROOT / "echo_stream").iterdir() if path.is_symlink()}
    assert {"echo_stream", *linked} <= set(copied)


def test_the_image_is_one_that_we_support() -> None:
    """Its Python is among those of the classifiers, and each base names a version."""
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert bases
    for base in bases:
        (version,) = re.findall(r"^python:(\d+\.\d+)-slim$", base)
        assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_the_container_is_no_root() -> None:
    """It runs as a fixed number, which owns the state's folder."""
    user = last("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    run = [rest for word, rest in instructions() if word == "RUN"][-1]
    owner, group = user.split(":")
    assert f"--owner {owner} --group {group} --mode 0700 {last('VOLUME')}" in run


def test_the_container_runs_and_is_checked() -> None:
    """Entry point, command, health check and variables are ours; stopped as a run wants it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (program,) = json.loads(last("ENTRYPOINT"))
    assert program in project["scripts"]
    check_words(json.loads(last("CMD")))
    check = json.loads(re.sub(r"^.*\bCMD ", "", last("HEALTHCHECK")))
    assert check.pop(0) == program
    check_words(check)
    variables = shlex.split(last("ENV"))
    check_variables("\n".join(variables))
    assert f"ECHO_STREAM_STATE={last('VOLUME')}" in variables
    assert last("STOPSIGNAL") == "SIGTERM"


def test_alerts_are_about_metrics_that_there_are() -> None:
    """Names, and the phases and outcomes that they are filtered by."""
    text = ALERTS.read_text(encoding="utf-8")
    suffix = {"counter": "_total", "info": "_info"}
    known = {each.name + suffix.get(each.type, "") for each in RunCollector(RunMonitor()).collect()}
    found = set(re.findall(r"\becho_stream_\w+", text))
    assert found
    assert found <= known
    assert set(re.findall(r'phase="([^"]+)"', text)) <= set(PHASES)
    assert set(re.findall(r'outcome="([^"]+)"', text)) <= RunMonitor().trainings.keys()


def test_every_alert_is_documented() -> None:
    """The page about monitoring says what to do."""
    text = MONITORING.read_text(encoding="utf-8")
    alerts = re.findall(r"alert: (\w+)", ALERTS.read_text(encoding="utf-8"))
    assert alerts
    assert [alert for alert in alerts if f"| `{alert}` |" not in text] == []
