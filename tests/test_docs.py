"""The documentation names what there is."""

import re
from pathlib import Path

import click
import pytest

from echo_stream.cli.main import EXIT_CODES, cli
from tests import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]


def commands() -> list[str]:
    """Return every command line, sub-commands included."""
    found = []
    for name, command in cli.commands.items():
        if isinstance(command, click.Group):
            found += [f"{name} {inner}" for inner in command.commands]
        else:
            found.append(name)
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_reference(command: str) -> None:
    """docs/reference.md lists each command and sub-command."""
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert all(f"`{word}`" in reference or word in reference for word in command.split())


def test_every_exit_code_is_in_the_reference() -> None:
    """docs/reference.md explains each exit code."""
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    for _, code in EXIT_CODES:
        assert f"| {code} |" in reference


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_commands_and_options_exist(document: Path) -> None:
    """Each `echo-stream …` line parses: known command, known options."""
    for line in re.findall(r"^\$ echo-stream (.+)$", document.read_text(encoding="utf-8"), re.M):
        words = line.split()
        command: click.Command = cli
        while isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Relative links and pictures exist."""
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
        assert (document.parent / target).exists(), target
