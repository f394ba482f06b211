"""Variables that begin with ECHO_STREAM_ and are no setting: refused, warned of, or others'."""

import json
from pathlib import Path

import pytest

from tests.support.commands import refusal, run_command


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BUDGTE", "BUDGET"),
        ("TOPICS", "TOPIC"),
        ("BOOTSTRAP_SERVER", "BOOTSTRAP_SERVERS"),
        ("SASL_PASWORD", "SASL_PASSWORD"),
        ("KAFKA_CONFIG", None),
        ("CONFG", "CONFIG"),
    ],
)
def test_misspelt_variable_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
) -> None:
    """It would be ignored, and the coreset would be another one; what may not be ours is not."""
    monkeypatch.setenv(f"ECHO_STREAM_{name}", "30")
    words = ["snapshots", "list", "--state", tmp_path]
    if meant is None:
        assert "in the environment is not a setting" in run_command(*words).stderr
        return
    assert refusal(*words, exit_code=2) == (
        f"Error: ECHO_STREAM_{name} in the environment is not a setting; "
        f"did you mean ECHO_STREAM_{meant}?"
    )


def test_misspelt_variable_does_not_keep_the_help_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which says what it should have been."""
    monkeypatch.setenv("ECHO_STREAM_BUDGTE", "30")
    assert "ECHO_STREAM_BUDGET" in run_command("build", "--help").stdout


def test_other_variable_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program may have set it; the command goes on."""
    monkeypatch.setenv("ECHO_STREAM_OWNER", "us")
    (tmp_path / "checkpoints").mkdir()
    result = run_command("snapshots", "list", "--state", tmp_path)
    assert (result.exit_code, result.json()) == (0, [])
    (line,) = result.stderr.splitlines()
    assert line.endswith(
        "WARNING echo_stream.cli.options.environment ECHO_STREAM_OWNER in the environment is "
        "not a setting; `echo-stream config show` lists all settings"
    )


def test_warning_is_a_line_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the format that was asked for."""
    monkeypatch.setenv("ECHO_STREAM_OWNER", "us")
    result = run_command("run", tmp_path / "no.npz", "--state", tmp_path, "--log-format", "json")
    first, *_ = result.stderr.splitlines()
    assert json.loads(first)["logger"] == "echo_stream.cli.options.environment"


@pytest.mark.parametrize(
    "name", ["PORT", "PORT_8080_TCP_ADDR", "SERVICE_HOST", "HOOK_ID", "SASL_PASSWORD", "CONFIG"]
)
def test_variables_that_others_set_or_that_mean_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Kubernetes sets some for a service named echo-stream, a hook finds some, some are ours."""
    file = tmp_path / "echo.toml"
    file.touch()
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setenv(f"ECHO_STREAM_{name}", str(file))
    result = run_command("snapshots", "list", "--state", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
