"""Results go to stdout as JSON or a table; words and progress go to stderr.

What is shown may have come from anywhere, so all of it is made printable here, or in the log.
"""

import base64
import csv
import io
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.output.logs import write_as_line
from echo_stream.cli.output.printable import printable, printable_json

_PIPE_WIDTH = 1_000

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.progress import Progress


def say(words: str) -> None:
    """Print words to stderr, or to the log where it is JSON."""
    if not write_as_line(words, logging.INFO):
        click.echo(printable(words), err=True)


def tell(words: str, is_warning: bool) -> None:
    """Print a note or a warning about the data to stderr, or to the log where it is JSON."""
    if not write_as_line(words, logging.WARNING if is_warning else logging.INFO):
        click.echo(f"{'Warning' if is_warning else 'Note'}: {words}", err=True)


def warn_provisional(unit: Path) -> None:
    """Say so where a snapshot that is about to be used is of a warm-up that was stopped."""
    from echo_stream.connectors.storage.snapshots import provisional_words, snapshot_manifest

    words = provisional_words(snapshot_manifest(unit))
    if words is not None:
        say(words)


def complain(err: Exception) -> None:
    """Print an error to stderr, or to the log where it is JSON."""
    words = _words(err)
    if write_as_line(words, logging.ERROR):
        return
    if isinstance(err, click.ClickException):
        shown = io.StringIO()
        err.show(shown)  # with what usage is right
        click.echo(printable(shown.getvalue(), keeps_lines=True), err=True, nl=False)
    else:
        click.echo(printable(f"Error: {words}"), err=True)


def emit(result: Any) -> None:
    """Print a result as JSON."""
    content = json.dumps(_finite(result), indent=2, ensure_ascii=False, default=_as_json)
    click.echo(printable_json(content))


def leave(code: int) -> None:
    """End the process, whatever its threads are at."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # whoever read it has gone
            stream.flush()
    os._exit(code)


def emit_rows(rows: Sequence[Mapping[str, Any]], output_format: str) -> None:
    """Print rows with the same keys, as JSON, as CSV or as a table.

    CSV is for programs: only where a terminal shows it is it made printable.
    """
    if output_format == "json":
        emit(rows)
        return
    if output_format == "csv":
        show = printable if sys.stdout.isatty() else str
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([show(name) for name in rows[0]] if rows else ())
        writer.writerows([show(_as_text(value)) for value in row.values()] for row in rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in rows[0] if rows else ():
        table.add_column(printable(name), overflow="fold")
    for row in rows:
        table.add_row(*(printable(_as_text(value)) for value in row.values()))
    # What goes into a pipe or a file is never cut; brackets and colons are not our markup.
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(width=width, markup=False, emoji=False).print(table)


def emit_parquet(table: "pa.Table") -> None:
    """Write an Arrow table to stdout as Parquet."""
    import pyarrow.parquet as pq

    if sys.stdout.isatty():
        msg = "--format parquet is not text; send it to a file: > rows.parquet"
        raise click.UsageError(msg)
    content = io.BytesIO()  # Parquet is not written to a pipe
    pq.write_table(table, content)
    sys.stdout.flush()
    sys.stdout.buffer.write(content.getbuffer())


@contextmanager
def progress(title: str) -> Iterator[Callable[..., None]]:
    """Show a progress bar with the time left on a terminal, and nothing elsewhere.

    Yields show(done, total, title=None), whose title goes before the one at the start.
    """
    from rich.markup import escape

    with _bar() as bar:
        task = bar.add_task(escape(printable(title)), total=None)

        def show(done: int, total: int, title: str | None = None) -> None:
            words = None if title is None else escape(printable(title))
            bar.update(task, completed=done, total=total, description=words)

        yield show


def _bar() -> "Progress":
    """Return a progress display that draws only on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not console.is_terminal)


def _words(err: Exception) -> str:
    """Return what an error says."""
    if isinstance(err, UnicodeEncodeError):
        return f"{err.object!r} is not UTF-8, which is needed here"
    return err.format_message() if isinstance(err, click.ClickException) else str(err)


def _finite(value: Any) -> Any:
    """Return a result in numbers of JSON, which has no words for NaN and infinities: null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _as_json(value: Any) -> str:
    """Return what JSON has no type for: bytes in base64, the rest as text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _as_text(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return ""
    is_nested = isinstance(value, list | tuple | dict)
    return json.dumps(value, default=_as_json) if is_nested else _as_json(value)
