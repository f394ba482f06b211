"""The documentation names what there is, and what it shows is tried."""

import ast
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import click
import pytest

import echo_stream
from docs.hooks import command_reference
from echo_stream.cli.main import EXIT_CODES, cli
from echo_stream.connectors.inspect.sql_tables import TABLES
from tests import ROOT
from tests.support.documents import DOCUMENTS, PAGES, blocks, check_command, commands

LANGUAGES = {"console", "json", "python", "text", "toml"}
WITHOUT_COMMANDS = {"use-from-python.md"}
GUIDES = [ROOT / "README.md"] + [
    page for page in PAGES
    if page.parent.name in ("tutorials", "how-to") and page.name not in WITHOUT_COMMANDS
]  # fmt: skip
OPTIONS_OF_OTHERS = {  # of the benchmarks
    "inside-a-run.md": {"--profile", "--repeats"},
    "measuring.md": {"--quick", "--records"},
    "when-a-stream-drifts.md": {"--stream"},
}
PRIVATE_WORDS = (
    "anew", "twins", "wishes", "stand-ins", "what is held", "hinder", "is told", "illegible",
    "leftovers", "way of a sample", "do not suffice", "does not suffice",
    "is ours alone", "for us alone", "it is not known", "as it was there", "is to be forgotten",
)  # fmt: skip


def name(path: Path) -> str:
    """Return the path of a document below the root."""
    return path.relative_to(ROOT).as_posix()


def every_command(
    command: click.Command = cli, path: str = "echo-stream"
) -> Iterator[tuple[str, click.Command]]:
    """Yield the whole command line: each command with its full name."""
    yield path, command
    if isinstance(command, click.Group):
        for inner, child in command.commands.items():
            yield from every_command(child, f"{path} {inner}")


def options_of(command: click.Command) -> set[str]:
    """Return the long options of a command."""
    names = (name for each in command.params for name in (*each.opts, *each.secondary_opts))
    return {name for name in names if name.startswith("--")}


@pytest.mark.parametrize(("path", "command"), list(every_command()))
def test_the_reference_has_every_command_and_option(path: str, command: click.Command) -> None:
    """A section for each command, in which each option is described."""
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", command_reference(), re.M))
    rows = re.findall(r"^\| `(.+)` \| ", sections[path], re.M)
    assert options_of(command) <= {word for row in rows for word in re.findall(r"--[a-z-]+", row)}


def test_the_reference_is_on_its_page() -> None:
    """Where the page has the marker, the site has the reference."""
    assert "<!-- commands -->" in (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")


def test_every_exit_code_is_in_the_reference() -> None:
    """Each has a row."""
    reference = (ROOT / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    for code in {0, 130, 143, *(code for _, code in EXIT_CODES)}:
        assert f"| {code} |" in reference


def test_every_public_name_is_in_the_reference() -> None:
    """The page of the Python API names all that the package exports."""
    page = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^::: echo_stream\.(\w+)$", page, re.M))
    errors = {each for each in echo_stream.__all__ if each.endswith("Error")}  # on one page
    assert documented | errors >= set(echo_stream.__all__) - {"__version__"}


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if commands(path)], ids=name)
def test_documented_commands_and_options_exist(document: Path) -> None:
    """Each `$ echo-stream …` parses: known command, known options, known choices."""
    for words in commands(document):
        check_command(words)


@pytest.mark.parametrize("document", GUIDES, ids=name)
def test_a_guide_shows_commands(document: Path) -> None:
    """So the test above has something to look at, in every page that says what to do."""
    text = document.read_text(encoding="utf-8")
    assert commands(document)
    assert len(commands(document)) == len(re.findall(r"^\$ echo-stream ", text, re.M))


@pytest.mark.parametrize(
    "words",
    ["runn --state DIR", "run --stat DIR", "train --format yaml", "snapshots", "query --timeout"],
)
def test_a_command_that_there_is_not_is_found(words: str) -> None:
    """A wrong command, option or choice, a missing command or value."""
    with pytest.raises((AssertionError, click.ClickException)):
        check_command(words.split())


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_blocks_say_what_they_are(document: Path) -> None:
    """Of a known language, so that none escapes the tests; a console block has a command."""
    text = document.read_text(encoding="utf-8")
    found = blocks(document)
    assert 2 * len(found) == len(re.findall(r"^```", text, re.M))
    for info, body in found:
        assert info.split(" ")[0] in LANGUAGES, body
        assert info != "console" or body.startswith("$ "), body


def test_every_session_of_python_is_run() -> None:
    """A page with `>>>` is among those that pytest collects."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert {"README.md", "docs"} <= set(options["testpaths"])
    assert {"--doctest-glob=README.md", "--doctest-glob=docs/*.md"} <= set(options["addopts"])
    outside = [path for path in DOCUMENTS if path not in PAGES and path.name != "README.md"]
    assert not [path for path in outside if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_options_exist(document: Path) -> None:
    """Each `--option` in running text is one of a command."""
    ours_only = (span for span in spans(document) if "benchmarks" not in span)
    named = {each for span in ours_only for each in re.findall(r"(?<!\S)--[a-z][a-z-]+", span)}
    ours = {option for _, command in every_command() for option in options_of(command)}
    assert named <= ours | {"--help", "--version"} | OPTIONS_OF_OTHERS.get(document.name, set())


def spans(document: Path) -> list[str]:
    """Return what stands in backticks in running text."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_files_and_names_exist(document: Path) -> None:
    """Each path of the repository, and each name of the package, in running text."""
    for span in spans(document):
        if re.fullmatch(r"(echo_stream|connectors|cli|tests|benchmarks|docs)/[\w./-]+", span):
            assert (ROOT / span).exists(), span
        if named := re.fullmatch(r"(echo_stream(?:\.\w+)+)(?:\(.*\))?", span):
            assert pkgutil.resolve_name(named[1]) is not None


def source_files() -> list[Path]:
    """Return all modules but those of the tests."""
    folders = ("echo_stream", "connectors", "cli", "benchmarks")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def source() -> str:
    """Return all code but the tests, texts that go over several lines joined."""
    return "".join(map(joined, source_files()))


@cache
def texts() -> frozenset[str]:
    """Return the texts of the code, without docstrings."""
    found: set[str] = set()
    for path in source_files():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        constants = (node for node in nodes if isinstance(node, ast.Constant))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        found |= {
            node.value
            for node in constants
            if isinstance(node.value, str) and id(node) not in docstrings
        }
    return frozenset(found)


@cache
def used_names() -> frozenset[str]:
    """Return the names in the code and in its texts, without docstrings and comments."""
    files = [*source_files(), *(ROOT / "tests/support").rglob("*.py")]
    found = {word for text in texts() for word in re.findall(r"\w+", text)}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= {str(getattr(node, field, "")) for field in ("name", "id", "attr", "arg")}
    return frozenset(found | set(TABLES))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_fields_exist(document: Path) -> None:
    """Fields, settings and functions with an underscore; metrics have a test of their own."""
    named = {
        each for span in spans(document) for each in re.findall(r"^_?[a-z]+(?:_[a-z]+)+$", span)
    }
    named -= {each for each in named if each.startswith("echo_stream_")}
    assert not [each for each in named if not {each, f"num_{each}"} & used_names()]


def test_messages_of_refusals_are_quoted_as_they_are() -> None:
    """What the page about resuming tells to look for is what a refusal says."""
    page = (ROOT / "docs/how-to/resume-after-a-crash.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \|", page.split("| the line says |")[1], re.M)[1:]
    assert len(rows) > 5
    for part in (part for row in rows for part in re.split(r" ?…,?(?: but)? ?|, or ", row)):
        assert part in source(), part


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    """Relative links and pictures exist; `make docs` looks at headings as well."""
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)(?:#[^)]*)?\)", text):
        assert (document.parent / target).exists(), target


def private_words(text: str) -> list[str]:
    """Return the words of a text that only we would use."""
    return [word for word in PRIVATE_WORDS if re.search(rf"\b{word}\b", text.lower())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_documents_use_the_words_of_the_field(document: Path) -> None:
    """None of those that only we would use."""
    assert not private_words(document.read_text(encoding="utf-8"))


def test_help_and_messages_use_the_words_of_the_field() -> None:
    """In the whole command line, and in all texts of the code."""
    assert not private_words(command_reference())
    assert not {text: words for text in texts() if (words := private_words(text))}


def joined(path: Path) -> str:
    """Return a module, texts that go over several lines joined."""
    return re.sub(r'"\n\s+f?"', "", path.read_text(encoding="utf-8"))


def test_a_private_word_is_found() -> None:
    """In whatever case, but not as part of another word."""
    assert private_words("It is trained Anew") == ["anew"]
    assert not private_words("renewed")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_targets_of_make_exist(document: Path) -> None:
    """Each `make target`, in running text and in console blocks."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    text = document.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:`|\$ )make ([a-z][a-z-]*)", text)) <= set(targets)


def test_the_readme_is_short() -> None:
    """Somebody who has never seen the project reads all of it."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_version_is_in_the_changelog() -> None:
    """The newest entry is of this version, with its date."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version, released = re.findall(r"^## (\S+) - (\S+)$", text, re.M)[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version == project["version"]
    assert date.fromisoformat(released) <= datetime.now(UTC).date()
