"""SQL over the tables of a snapshot."""

from pathlib import Path
from typing import Any

import duckdb

from echo_stream.connectors.snapshot_files import read_tables
from echo_stream.errors import QueryError
from echo_stream.validation import first_line


def query_snapshot(unit: Path, sql: str) -> list[dict[str, Any]]:
    """Run SQL over the tables coreset, cells and edges of a snapshot.

    SQL cannot read or write files, nor load extensions.

    Raises
    ------
    SnapshotError
        If there is no such snapshot.
    QueryError
        If the database refuses the SQL.
    """
    tables = read_tables(unit)
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET python_enable_replacements = false")
        connection.execute("SET lock_configuration = true")
        try:
            cursor = connection.execute(sql)
            if not cursor or cursor.description is None:
                msg = "the query is empty; give a SELECT"
                raise QueryError(msg)
            names = _distinct([column[0] for column in cursor.description])
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        # SQL that is no UTF-8, or a value that Python has no room for, is no duckdb.Error.
        except (duckdb.Error, RuntimeError, OverflowError, ValueError) as err:
            if isinstance(err, QueryError):
                raise
            msg = f"the query failed: {first_line(err)}"
            raise QueryError(msg) from err


def _distinct(names: list[str]) -> list[str]:
    """Return names with equal ones numbered, so that no column hides another: a, a_1."""
    found: list[str] = []
    for name in names:
        candidates = (name, *(f"{name}_{number}" for number in range(1, len(names) + 1)))
        found.append(next(candidate for candidate in candidates if candidate not in found))
    return found
