"""SQL over the tables of snapshots: it reads them, and can do nothing else.

The database looks at interrupts, and at its limit of memory, between pieces of work; a single
call of a function can be a piece of hours and of gigabytes. Only the end of its process ends it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psutil

from echo_stream.connectors.inspect.sql_tables import open_tables
from echo_stream.errors import QueryError, SettingName, first_line

if TYPE_CHECKING:
    import pyarrow as pa

_TIMEOUT_S = 30.0
MAX_ROWS = 1_000_000  # of a result, which is held in memory
_FETCHED_ROWS = 10_000  # at a time


def query_snapshot(
    unit: Path, sql: str, *, state: Path | None = None, timeout_s: float = _TIMEOUT_S
) -> list[dict[str, Any]]:
    """Run SQL over a snapshot and the history of its state.

    Parameters
    ----------
    unit : Path
        The snapshot that the tables coreset, cells and edges are of; see `open_snapshot`.
    sql : str
        One SELECT, or what only reads likewise: WITH, FROM, VALUES, SHOW, DESCRIBE, SUMMARIZE.
    state : Path, optional
        Whose snapshots are in the tables snapshots, coreset_history, cells_history and
        edges_history; without it only the one is.
    timeout_s : float
        Seconds that the query may take.

    Returns
    -------
    list of dict
        Rows by name of column, in Python's own types.

    Raises
    ------
    SnapshotError
        If there is no such snapshot, or it is damaged.
    QueryError
        If the database refuses the SQL, if it takes too long or gives more than a million
        rows.

    Notes
    -----
    SQL cannot write, and reads neither files of its own choice nor the network. A single
    call of a function within it, such as of `repeat`, ends only by itself, and may take more
    memory than the database's limit: for SQL of other people use `query_guard.guarded`.
    """
    with _database(unit, state, sql, timeout_s) as run:
        cursor = run.connection.execute(sql)
        names = _distinct([column[0] for column in cursor.description])
        rows: list[tuple[Any, ...]] = []
        while batch := cursor.fetchmany(_FETCHED_ROWS):
            rows += batch
            run.check(len(rows))
        return [dict(zip(names, row, strict=True)) for row in rows]


def query_table(
    unit: Path, sql: str, *, state: Path | None = None, timeout_s: float = _TIMEOUT_S
) -> "pa.Table":
    """Do what `query_snapshot` does, and return an Arrow table, typed as in the database."""
    import pyarrow as pa  # noqa: PLC0415 - not needed for rows

    with _database(unit, state, sql, timeout_s) as run:
        reader = pa.RecordBatchReader.from_stream(run.connection.sql(sql))
        batches, num_rows = [], 0
        for batch in reader:
            batches.append(batch)
            num_rows += len(batch)
            run.check(num_rows)
        table = pa.Table.from_batches(batches, reader.schema)
        return table.rename_columns(_distinct(table.column_names))


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names with equal ones numbered, so that no column hides another: a, a_1. O(n)."""
    numbers: dict[str, int] = {}  # that a name was given last
    for name in names:
        unique = name
        while unique in numbers:
            numbers[name] += 1
            unique = f"{name}_{numbers[name]}"
        numbers[unique] = 0
    return list(numbers)


class _Run:
    """A query under way: its database, and its limits."""

    def __init__(self, connection: Any, timeout_s: float) -> None:
        self.connection = connection
        self._timeout_s = timeout_s
        self._is_late = threading.Event()
        self._timer = threading.Timer(timeout_s, self._interrupt)
        self._timer.daemon = True

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Interrupt the query when its time is over, and turn errors into QueryError."""
        self._timer.start()
        try:
            yield
        # SQL that is not UTF-8, a value that Python has no room for, or what Arrow makes of an
        # interrupt is not a duckdb.Error.
        except (duckdb.Error, OSError, RuntimeError, OverflowError, ValueError) as err:
            if isinstance(err, QueryError):
                raise
            raise self._too_late() if self._is_late.is_set() else refused(err) from err
        finally:
            self._timer.cancel()

    def check(self, num_rows: int) -> None:
        """Stop when the time is over, or there are too many rows."""
        if self._is_late.is_set():
            raise self._too_late()
        if num_rows > MAX_ROWS:
            msg = f"the query failed: it gives more than {MAX_ROWS:,} rows; add a LIMIT"
            raise QueryError(msg)

    def _interrupt(self) -> None:
        """End the query."""
        self._is_late.set()
        self.connection.interrupt()

    def _too_late(self) -> QueryError:
        """Return the error for a query that takes too long."""
        return _timed_out(self._timeout_s)


@contextmanager
def _database(unit: Path, state: Path | None, sql: str, timeout_s: float) -> Iterator[_Run]:
    """Yield a database to run checked SQL in, within limits."""
    with ExitStack() as stack:
        connection = open_tables(unit, state, sql, stack)
        run = _Run(connection, timeout_s)
        stack.enter_context(run.limited())
        sql.encode()  # fails in words where text is not UTF-8, which the parser does not
        _check(connection.extract_statements(sql))
        yield run


def _check(statements: Sequence[Any]) -> None:
    """Refuse all SQL but one statement that reads."""
    if not statements:
        msg = "the query is empty; give a SELECT"
        raise QueryError(msg)
    if len(statements) > 1:
        msg = f"the query failed: give one statement; got {len(statements)}"
        raise QueryError(msg)
    kind = statements[0].type
    # EXPLAIN is none: with ANALYZE it runs what it explains, COPY among others.
    if kind != duckdb.StatementType.SELECT:
        msg = f"the query failed: only SELECT and similar statements may run; got {kind.name}"
        raise QueryError(msg)


def _timed_out(timeout_s: float) -> QueryError:
    """Return the error for a query that takes too long."""
    return QueryError(
        f"the query failed: it took longer than {timeout_s:g} s; ask for less, or allow more with ",
        SettingName("timeout"),
    )


def refused(err: Exception) -> QueryError:
    r"""Return what the database says of SQL, in one line with a caret where it is wrong.

    Examples
    --------
    >>> refused(ValueError("Parser Error: no\n\nLINE 1: SELEC 1\n        ^^^^^")).args[0]
    'the query failed: Parser Error: no, in line 1: ^SELEC 1'
    """
    lines = str(err).splitlines()
    words = f"the query failed: {first_line(err)}"
    for place, line in enumerate(lines[:-1]):
        head, colon, text = line.partition(": ")
        column = lines[place + 1].find("^") - len(head + colon)
        if head.startswith("LINE ") and column >= 0:
            marked = f"{text[:column]}^{text[column:]}".strip()
            return QueryError(f"{words}, in {head.lower()}: {marked}")
    return QueryError(words)


_LOOK_S = 0.05  # how often time and memory are looked at
GRACE_S = 2.0  # that an interrupted query has to end by itself
MEMORY_BYTES = 3 * 1024**3  # of the process: the database's 2 GB, its rows in Python, and itself


@contextmanager
def guarded(timeout_s: float, end: Callable[[QueryError], None]) -> Iterator[None]:
    """Call `end` from a thread of its own when the block takes too much.

    Parameters
    ----------
    timeout_s : float
        What the query was given; the block has two seconds more.
    end : callable
        Ends the process, with what is said of the query.
    """
    over = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(over, timeout_s, end), name="query-guard", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(over: threading.Event, timeout_s: float, end: Callable[[QueryError], None]) -> None:
    """Look until the block is over, or takes too much."""
    process, last_s = psutil.Process(), time.monotonic() + timeout_s + GRACE_S
    while not over.wait(_LOOK_S):
        if time.monotonic() > last_s:
            end(_timed_out(timeout_s))
            return
        if process.memory_info().rss > MEMORY_BYTES:
            gigabytes = MEMORY_BYTES // 1024**3
            end(QueryError(f"the query failed: it took more than {gigabytes} GB; ask for less"))
            return
