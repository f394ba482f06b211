"""What the documents show: commands with their output, and files to save."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from echo_stream.cli.main import cli
from tests import ROOT

PAGES = sorted(
    page
    for page in (ROOT / "docs").rglob("*.md")
    if not page.relative_to(ROOT / "docs").as_posix().startswith("benchmarks")  # generated
)
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]
ENDS_COMMAND = {"|", ">", ">>", "<", "&&", ";"}

_FENCE = re.compile(r"^```(?P<info>.*)\n(?P<body>(?:.*\n)*?)```$", re.M)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True)
class Step:
    """A command, and what the document shows of its output; nothing where it shows none."""

    command: str
    output: str


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return the info string and the text of each fenced block."""
    return [(found["info"], found["body"]) for found in _FENCE.finditer(_text(document))]


def steps(document: Path) -> list[Step]:
    """Return the commands of the console blocks, in order, lines that go on joined."""
    found = []
    for info, body in blocks(document):
        if info == "console":
            joined = re.sub(r" *\\\n +", " ", body)
            for part in re.split(r"^\$ ", joined, flags=re.M)[1:]:
                command, _, output = part.partition("\n")
                found.append(Step(command.partition("  #")[0].strip(), output))
    return found


def files(document: Path) -> dict[str, str]:
    """Return the files that a reader is asked to save, by name."""
    titled = ((_TITLE.search(info), body) for info, body in blocks(document))
    return {title[1]: body for title, body in titled if title}


def commands(document: Path) -> list[list[str]]:
    """Return the words of each echo-stream command, pipes and redirections cut off."""
    found = []
    for step in steps(document):
        program, *words = shlex.split(step.command)
        if program == "echo-stream":
            ends = [place for place, word in enumerate(words) if word in ENDS_COMMAND]
            found.append(words[: min(ends, default=len(words))])
    return found


def check_command(words: list[str]) -> None:
    """Refuse a command, an option or a choice that there is not."""
    command: click.Command = cli
    rest = list(words)
    while isinstance(command, click.Group):
        assert rest, f"{' '.join(words)}: which command?"
        assert rest[0] in command.commands, f"{' '.join(words)}: no such command"
        command = command.commands[rest.pop(0)]
    context = click.Context(command)
    values, _, _ = command.make_parser(context).parse_args(rest)
    for parameter in command.params:
        given = values.get(parameter.name or "", [])
        if isinstance(parameter.type, click.Choice):
            for value in given if isinstance(given, list) else [given]:
                parameter.type.convert(value, parameter, context)


def _text(document: Path) -> str:
    return document.read_text(encoding="utf-8")
