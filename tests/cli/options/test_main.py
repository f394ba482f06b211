"""The command line as a whole: help, environment, exit codes, logging, start-up, Ctrl-C."""

import inspect
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from echo_stream._common.version import __version__
from echo_stream.cli.main import WAITING, cli
from echo_stream.connectors.storage import snapshots
from tests.support.commands import (
    TINY,
    answer,
    command_process,
    finish,
    refusal,
    run_command,
    silent_broker,
    write_data,
)

HEAVY = ("duckdb", "kafka", "matplotlib", "numpy", "pyarrow", "rich", "scipy", "sklearn", "torch")
# Their words mean something else, or nothing, to another command.


def all_commands(
    command: click.Command = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command and group with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from all_commands(child, (*path, name))


COMMANDS = dict(all_commands())
OPTIONS = [
    (path, option)
    for path, command in COMMANDS.items()
    for option in command.params
    if path and isinstance(option, click.Option)
]


def help_of(*path: str) -> str:
    """Return a command's help, its lines joined."""
    result = run_command(*path, "--help")
    assert result.exit_code == 0
    assert result.stderr == ""
    return " ".join(result.stdout.split())


@pytest.mark.parametrize("group", [(), ("config",), ("dlq",), ("snapshots",)])
def test_help_lists_every_command(group: tuple[str, ...]) -> None:
    """Whoever asks for help sees what there is."""
    command = COMMANDS[group]
    assert isinstance(command, click.Group)
    assert command.commands
    for name in command.commands:
        assert f" {name} " in help_of(*group)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_begins_with_a_sentence(path: tuple[str, ...]) -> None:
    """It is all that the list of commands shows, and all that fits there."""
    first, *_ = str(COMMANDS[path].help).split("\n\n")
    assert first[0].isupper()
    assert first.endswith(".")
    assert ". " not in first


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_options_are_explained_in_sentences(path: tuple[str, ...]) -> None:
    """A table of them can be read by whoever has not seen the project."""
    for option in COMMANDS[path].params:
        if isinstance(option, click.Option):
            words = str(option.help)
            assert words[0].isupper(), option.opts
            assert words.endswith("."), option.opts


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_has_a_type(path: tuple[str, ...]) -> None:
    """No command takes its options as a dictionary that nothing checks."""
    function = COMMANDS[path].callback
    assert function is not None
    parameters = inspect.signature(function).parameters.values()
    assert all(each.annotation is not inspect.Parameter.empty for each in parameters)
    assert all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in parameters)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example(path: tuple[str, ...]) -> None:
    """Every command shows a call of itself."""
    assert f"Example: {' '.join(('echo-stream', *path))}" in help_of(*path)


@pytest.mark.parametrize(
    ("path", "option"), OPTIONS, ids=[f"{' '.join(p)} {o.opts[0]}" for p, o in OPTIONS]
)
def test_help_shows_variable_and_default(path: tuple[str, ...], option: click.Option) -> None:
    """What an option takes from the environment, and what it is without, can be read there."""
    shown = help_of(*path)
    name = option.opts[0]
    has_default = isinstance(option.default, str | int | float) and option.default is not False
    # Of a pair such as --colour/--no-colour, click tells which of the two.
    shown_default = name.removeprefix("--") if option.default is True else option.default
    default = f"; default: {shown_default}" if has_default else ""
    variable = name.removeprefix("--").replace("-", "_").upper()
    assert f"[env var: ECHO_STREAM_{variable}{default}" in shown


def test_variable_sets_an_option_and_a_flag_overrides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flags, then the environment, then defaults."""
    data = write_data(tmp_path / "data.npz")
    monkeypatch.setenv("ECHO_STREAM_BUDGET", "30")
    monkeypatch.setenv("ECHO_STREAM_EPOCHS", "0")
    for folder, flags, budget in (("a", (), 30), ("b", ("--budget", 25), 25)):
        answer("build", data, "--out", tmp_path / folder, *flags)
        manifest = answer("snapshots", "show", "--snapshot", tmp_path / folder)
        assert (manifest["config"]["budget"], manifest["config"]["epochs"]) == (budget, 0)


def test_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad value says that it came from the environment."""
    monkeypatch.setenv("ECHO_STREAM_BUDGET", "many")
    line = refusal("build", tmp_path / "data.npz", "--out", tmp_path / "a", exit_code=2)
    assert "ECHO_STREAM_BUDGET" in line
    assert "'many'" in line


def test_help_imports_nothing_heavy() -> None:
    """The help of every command answers at once: no torch, no Kafka, no pictures."""
    script = (
        "import sys; from echo_stream.cli.main import cli\n"
        f"for words in {[[*path, '--help'] for path in COMMANDS]}:\n"
        "    try: cli.main(words)\n"
        "    except SystemExit as err: assert err.code == 0\n"
        f"print('imported:', *set(sys.modules) & set({HEAVY}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("Example:") == len(COMMANDS)
    assert done.stdout.splitlines()[-1] == "imported:"


def test_module_runs_as_a_program() -> None:
    """`python -m echo_stream` is the command line."""
    with command_process("--version") as process:
        assert finish(process).stdout == f"echo-stream, version {__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "2000"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0"), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_threads_spin_for_a_moment_and_then_sleep(given: dict[str, str], spins: str) -> None:
    """As OpenMP tells when torch is loaded; what the user's environment says goes first."""
    found = subprocess.run(
        [sys.executable, "-m", "echo_stream", "doctor"],
        env={name: value for name, value in os.environ.items() if name not in WAITING}
        | {"OMP_DISPLAY_ENV": "verbose"}
        | given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in found.stderr


def test_exit_code_reaches_the_shell() -> None:
    """What main decides is what the process ends with."""
    with command_process("nonsense") as process:
        result = finish(process)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("Error: No such command 'nonsense'.\n")


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["build", "data.npz", "--out", "new", *TINY], 0),
        (["build", "empty.npz", "--out", "new", *TINY], 1),
        (["build", "data.npz", "--out", "new", "--budget", "0"], 2),
        (["build", "missing.npz", "--out", "new", *TINY], 3),
        (["build", "data.npz", "--out", "taken", *TINY], 4),
    ],
    ids=["0 done", "1 failed", "2 wrong usage", "3 no source", "4 state in the way"],
)
def test_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object], exit_code: int
) -> None:
    """Scripts can tell kinds of failures apart."""
    monkeypatch.chdir(tmp_path)
    write_data(Path("data.npz"))
    Path("empty.npz").touch()
    Path("taken").mkdir()
    assert run_command(*arguments).exit_code == exit_code


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], ["snapshots", "nonsense"]])
def test_unknown_words_are_wrong_usage(words: list[str]) -> None:
    """A typing error is told with the word, and where help is."""
    result = run_command(*words)
    assert result.exit_code == 2
    assert "nonsense" in result.stderr
    assert "--help" in result.stderr


def test_no_words_show_the_help() -> None:
    """Who types the name alone is told what there is, as wrong usage."""
    result = run_command()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Commands:" in result.stderr


def test_verbose_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With -v, what happens inside and inside the Kafka client is on stderr."""

    def chatty(_: Path) -> list[dict[str, object]]:
        logging.getLogger("echo_stream.connectors.storage.snapshots").info("looking around")
        logging.getLogger("kafka.client").warning("no node")
        return []

    monkeypatch.setattr(snapshots, "describe_snapshots", chatty)
    words = ["snapshots", "list", "--state", tmp_path]
    loud, quiet = run_command("-v", *words), run_command(*words)
    assert "INFO echo_stream.connectors.storage.snapshots looking around" in loud.stderr
    assert "WARNING kafka.client no node" in loud.stderr
    assert quiet.stderr == ""
    assert loud.stdout == quiet.stdout


@pytest.mark.slow
def test_ctrl_c_before_a_run_ends_quietly(tmp_path: Path) -> None:
    """An interrupt while the broker is still being looked for is no crash."""
    with (
        silent_broker() as (address, server),
        command_process(
            "run", "--topic", "t", "--bootstrap-servers", address, "--state", tmp_path / "state"
        ) as process,
    ):
        server.accept()[0].close()
        process.send_signal(signal.SIGINT)
        result = finish(process)
    assert result.exit_code == 130
    assert result.stdout + result.stderr.strip() == ""


def test_reader_that_goes_away_is_no_crash() -> None:
    """With `| head`, nobody is left to complain to."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "echo_stream", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_help_has_each_option_once_by_section() -> None:
    """A hundred options are found by what they are about; those of all runs come first."""
    shown = run_command("run", "--help").stdout
    titles = [line.rstrip(":") for line in shown.splitlines() if re.fullmatch(r"\S.*:", line)]
    assert titles == [
        "Options", "Source", "Messages", "Connection", "Coreset", "When to write, train and stop",
        "Dead letters", "Retraining", "HTTP", "Log",
    ]  # fmt: skip
    params = [each for each in cli.commands["run"].params if isinstance(each, click.Option)]
    for param in params:
        written = max(param.opts, key=len)
        assert len(re.findall(rf"^  {written}\b(?!-)", shown, flags=re.M)) == 1, written
    places = ("  --state", "\nSource:", "  --topic", "\nCoreset:", "  --budget", "\nWhen to write")
    assert sorted(map(shown.index, places)) == list(map(shown.index, places))
