"""Nothing that came from outside reaches a terminal as more than text."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream.cli.output.logs import use_logs
from echo_stream.cli.output.output import emit_rows, say
from echo_stream.cli.output.printable import printable, printable_json
from tests.support.commands import TINY, N, Result, answer, run_command, write_data

HOSTILE = (
    "\x1b[2J\x9b2J\x07\u202e\u2028\x7f[/red]:smile:\nError: no\r\udc80"  # an argument can be it
)
PLAIN = "Größe 東京 [/red] :smile: \\x1b"
SQL = "SELECT id AS \"a\x1b[2J[/b]\", 'x' || id AS n FROM coreset"


class Terminal(io.StringIO):
    """What is written is shown to somebody."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state whose ids are hostile, as far as they are UTF-8."""
    folder = tmp_path_factory.mktemp("hostile")
    ids = np.array([f"{HOSTILE.removesuffix(chr(0xDC80))}{number}" for number in range(N)])
    data = write_data(folder / "data.npz", id=ids)
    answer("run", data, "--state", folder / "state", *TINY, "--warmup", 100)
    return folder / "state"


def check(result: Result) -> None:
    """Check that a command has printed nothing that steers a terminal."""
    for text in (result.stdout, result.stderr):
        assert text.replace("\n", "").isprintable(), ascii(text)
    assert "\nError: no" not in result.stdout + result.stderr


def commands(state: Path) -> Iterator[list[Any]]:
    """Yield commands that show what is in a state, or what they were given."""
    for form in ("json", "table"):
        yield ["query", SQL, "--state", state, "--format", form]
        yield ["status", "--state", state, "--format", form]
        yield ["snapshots", "list", "--state", state, "--format", form]
        yield ["doctor", "--state", state / HOSTILE, "--format", form]
    (found, *_) = answer("query", "SELECT id FROM coreset", "--state", state)
    yield ["why", found["id"], "--state", state]
    yield ["why", HOSTILE, "--state", state]
    yield ["query", f"SELECT '{HOSTILE}'::INT", "--state", state]
    yield ["forget", HOSTILE, "--state", state]
    yield ["snapshots", "show", "--state", state, "--snapshot", HOSTILE]
    yield ["status", "--state", state / HOSTILE]
    yield ["build", HOSTILE + ".npz", "--out", "out"]
    yield [HOSTILE]
    yield ["run", f"--{HOSTILE}"]


def test_no_command_shows_more_than_text(state: Path) -> None:
    """Tables, JSON, errors and words, of what is stored and of what was asked."""
    for words in commands(state):
        check(run_command(*words))


def test_tables_show_what_is_there(state: Path) -> None:
    """Brackets are no markup, an end of line is none, and a name of a column is shown likewise."""
    result = run_command("query", SQL, "--state", state, "--format", "table")
    assert result.exit_code == 0, result.stderr
    head, row = result.stdout.splitlines()[1], result.stdout.splitlines()[3]
    assert r"a\x1b[2J[/b]" in head
    assert r"\x1b[2J\x9b2J\x07\u202e\u2028\x7f[/red]:smile:\nError: no\r" in row


def test_json_says_the_same(state: Path) -> None:
    """Its escapes are those of JSON, so programs read the very ids."""
    rows = answer("query", "SELECT id FROM coreset", "--state", state)
    assert all(row["id"].startswith("\x1b[2J\x9b2J\x07\u202e") for row in rows)


def test_csv_is_exact_but_on_a_terminal(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe it is for programs."""
    words = ["query", "SELECT id FROM coreset", "--state", state, "--format", "csv"]
    assert "\x1b[2J" in run_command(*words).stdout
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    emit_rows([{HOSTILE: HOSTILE}], "csv")
    assert shown.getvalue().count("\n") == 2
    assert shown.getvalue().replace("\n", "").isprintable()


@pytest.mark.parametrize("form", ["text", "json"])
def test_logs_have_a_line_for_each_record(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A message cannot end its line and begin another, nor can a field or an error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        use_logs("info", form)
        logging.getLogger("a").info("got %s", HOSTILE, extra={"topic": HOSTILE})
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("a").exception("failed")
        say(HOSTILE)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    shown = capsys.readouterr().err
    assert shown.replace("\n", "").isprintable()
    if form == "json":
        first, second, third = map(json.loads, shown.splitlines())
        assert first["topic"] == third["message"] == HOSTILE
        assert HOSTILE in second["exception"]
    else:
        assert shown.splitlines()[1].endswith(" failed")


def test_other_scripts_stay() -> None:
    """What can be read is left alone, and so is what is escaped already."""
    assert printable(PLAIN) == PLAIN
    assert printable_json(json.dumps(PLAIN, ensure_ascii=False)) == f'"{PLAIN}"'.replace(
        "\\x1b", "\\\\x1b"
    )


def test_every_character_is_shown_by_its_number() -> None:
    """All of Unicode: printable afterwards, and JSON means the same."""
    text = "".join(map(chr, {*range(sys.maxunicode + 1)} - {*range(0xD801, 0xE000)}))
    assert printable(text).isprintable()
    content = printable_json(json.dumps(text, ensure_ascii=False))
    assert content.isprintable()
    assert json.loads(content) == text
