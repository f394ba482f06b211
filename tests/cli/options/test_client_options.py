"""Options of the Kafka clients: from flags, environment and file; passwords from neither flags."""

from pathlib import Path

import pytest

from tests.support.commands import answer, refusal, run_command

SECRET = "correct-horse"
LOGIN = ("--security-protocol", "SASL_SSL", "--sasl-mechanism", "PLAIN", "--sasl-username", "ann")
READ = ("run", "--bootstrap-servers", "127.0.0.1:1", "--topic", "t", "--state", "s")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_table_of_the_file_is_passed_through(folder: Path) -> None:
    """As a table for all commands; a flag goes before it."""
    (folder / "echo.toml").write_text("[kafka]\nfetch_max_bytes = 1000\nclient_rack = 'a'\n")
    for command in ("run", "produce"):
        rows = answer("config", "show", command, "--config", "echo.toml")
        (row,) = [row for row in rows if row["setting"] == "kafka"]
        assert row["value"] == {"fetch_max_bytes": 1000, "client_rack": "a"}
        assert row["origin"] == "echo.toml"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("fetch_max_byte = 1", "did you mean 'fetch_max_bytes'?"),
        ("group_id = 'x'", "'group_id' cannot be passed through: offsets are those of the"),
        (f"sasl_plain_password = '{SECRET}'", "a password comes from its variable or a file"),
    ],
)
def test_table_is_checked(folder: Path, table: str, words: str) -> None:
    """An error of usage that names the file, by any command that shows or uses it."""
    (folder / "echo.toml").write_text(f"[kafka]\n{table}\n")
    for command in (READ, ("config", "show", "run")):
        line = refusal(*command, "--config", "echo.toml", exit_code=2)
        assert words in line
        assert "setting 'kafka' in echo.toml" in line
        assert SECRET not in line
    assert words in refusal(*READ, "--kafka", table.replace(" ", ""), exit_code=2)


def test_options_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """NAME=VALUE with commas between, also from the environment; a proxy's login is not shown."""
    proxy = f"http://ann:{SECRET}@proxy:8080"
    monkeypatch.setenv("ECHO_STREAM_KAFKA", f"fetch_max_bytes=1000, proxy_url={proxy}")
    result = run_command("config", "show", "run")
    (row,) = [row for row in result.json() if row["setting"] == "kafka"]
    assert row["value"] == {"fetch_max_bytes": 1000, "proxy_url": "http://***@proxy:8080"}
    assert SECRET not in result.stdout + result.stderr
    assert "NAME=VALUE" in refusal(*READ, "--kafka", "fetch_max_bytes", exit_code=2)


def test_password_from_its_variable_or_a_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both get as far as a broker that is not there; neither is ever shown."""
    (folder / "password").write_text(f"{SECRET}\n")
    (folder / "password").chmod(0o600)
    from_file = [*READ, *LOGIN, "--sasl-password-file", "password"]
    lines = [refusal(*from_file, "--kafka", "bootstrap_timeout_ms=200", exit_code=3)]
    monkeypatch.setenv("ECHO_STREAM_SASL_PASSWORD", SECRET)
    lines += [refusal(*READ, *LOGIN, "--kafka", "bootstrap_timeout_ms=200", exit_code=3)]
    lines += [refusal(*from_file, exit_code=2)]
    assert "either ECHO_STREAM_SASL_PASSWORD or --sasl-password-file" in lines[-1]
    lines += [run_command("-v", "config", "show", "run").stdout]
    assert SECRET not in "".join(lines)


def test_password_is_neither_flag_nor_setting(folder: Path) -> None:
    """A flag is in the list of processes, and settings files are shared."""
    assert "No such option" in refusal(*READ, "--sasl-password", SECRET, exit_code=2)
    (folder / "echo.toml").write_text(f"sasl_password = '{SECRET}'\n")
    line = refusal(*READ, "--config", "echo.toml", exit_code=2)
    assert "did you mean 'sasl_password_file'?" in line
    assert SECRET not in line


def test_contradictions_name_the_options() -> None:
    """As they were written, before a broker is asked."""
    assert "give --sasl-username" in refusal(*READ, *LOGIN, exit_code=2)
    line = refusal(*READ, *LOGIN, "--sasl-password-file", "none", exit_code=2)
    assert "--sasl-password-file none cannot be read: No such file" in line
    Path("empty").touch()
    line = refusal(*READ, *LOGIN, "--sasl-password-file", "empty", exit_code=2)
    assert "empty is empty; write the password into it" in line
