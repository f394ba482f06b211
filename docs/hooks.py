"""What mkdocs does besides: pages from the root of the repository, and the reference of commands.

README.md, CHANGELOG.md, CONTRIBUTING.md and SECURITY.md are pages of the site, too. Links are
written as they work in the repository; here they are made to work on the site.
"""

import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from echo_stream.cli.command import options_by_section
from echo_stream.cli.main import cli

ROOT = Path(__file__).parent.parent
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "SECURITY.md": "security-policy.md",
}
COMMANDS = "<!-- commands -->"
MEASUREMENTS = "Measurements"  # the entry of the navigation that lists docs/benchmarks


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages of the repository's root."""
    for source, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of measurements, which are generated, in the navigation."""
    docs = Path(config.docs_dir)
    found = sorted(docs.glob("benchmarks/*.md"), key=lambda page: (page.stem != "index", page.stem))
    names = [page.relative_to(docs).as_posix() for page in found]
    assert config.nav is not None
    config.nav = [{MEASUREMENTS: names} if entry == MEASUREMENTS else entry for entry in config.nav]
    return config


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Write the reference of commands, and links as the site needs them."""
    path = page.file.src_uri
    source = next((root for root, name in ROOT_PAGES.items() if name == path), f"docs/{path}")
    if COMMANDS in markdown:
        markdown = markdown.replace(COMMANDS, command_reference())
    return site_links(markdown, source=source, page=path)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Refuse a page that would load something from elsewhere."""
    foreign = re.findall(r'<(?:script|img|link)[^>]*?(?:src|href)="(https?:[^"]+)', output)
    if foreign:
        msg = f"{page.file.src_uri} loads {', '.join(foreign)}"
        raise PluginError(msg)
    return output


def site_links(markdown: str, *, source: str, page: str) -> str:
    """Return a page with its relative links as they are on the site.

    Parameters
    ----------
    markdown : str
    source : str
        Where the text is, from the root of the repository.
    page : str
        Where it is on the site.

    Examples
    --------
    >>> site_links("[a](docs/how-to/a.md#b)", source="README.md", page="index.md")
    '[a](how-to/a.md#b)'
    >>> site_links("[a](../../README.md)", source="docs/how-to/a.md", page="how-to/a.md")
    '[a](../index.md)'
    """

    def moved(link: re.Match[str]) -> str:
        target, anchor = link[1], link[2]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        path = ROOT_PAGES.get(path, path.removeprefix("docs/"))
        return f"]({posixpath.relpath(path, posixpath.dirname(page) or '.')}{anchor})"

    return re.sub(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)]*|)\)", moved, markdown)


def command_reference() -> str:
    """Return a section for each command: what it does, an example, its options."""
    return "\n".join(_command(path, command) for path, command in _commands("echo-stream", cli))


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, with their full names."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands(f"{path} {name}", command.commands[name])


def _command(path: str, command: click.Command) -> str:
    """Return the section of one command: what `--help` says, as a page says it."""
    context = click.Context(command, info_name=path, **cli.context_settings)
    words, _, example = inspect.cleandoc(command.help or "").partition("\b\nExample:\n")
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = [f"## {path}", "", words.strip(), "", f"`{usage}`", ""]
    if example:
        lines += ["```console", re.sub("^ *", "$ ", example, flags=re.M), "```", ""]
    if isinstance(command, click.Group):
        links = (f"[{name}](#{path.replace(' ', '-')}-{name})" for name in sorted(command.commands))
        lines += [f"Commands: {', '.join(links)}", ""]
    for title, records in options_by_section(command, context).items():
        lines += [f"| {title.lower()} | meaning |", "| --- | --- |"]
        lines += [*(_row(*record) for record in records), ""]
    return "\n".join(lines)


def _row(option: str, meaning: str) -> str:
    """Return a row of the table of options; variables follow one rule and are left out."""
    meaning = re.sub(r"env var: \w+(; )?", "", meaning).replace("[]", "").strip()
    return f"| `{option}` | {meaning.replace('|', '&#124;')} |"
