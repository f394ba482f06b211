"""The tables that SQL sees: those of one snapshot, and the history of all in its state."""

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb

from echo_stream.connectors.inspect.spread_table import COLUMNS, spread_table
from echo_stream.connectors.storage.snapshot_files import CONTEXT_FILE
from echo_stream.connectors.storage.snapshots import (
    checked_manifest,
    is_pinned,
    read_manifests,
)
from echo_stream.connectors.storage.unit_locks import read_lock
from echo_stream.connectors.storage.units import check_files
from echo_stream.errors import SnapshotError, StateError, first_line

logger = logging.getLogger(__name__)

_PARTS = ("coreset", "cells", "edges")
"""Tables that every snapshot has. With `_history` at the end, their rows of all snapshots."""

TABLES = (*_PARTS, "context", "spread", "snapshots", *(f"{part}_history" for part in _PARTS))

_SNAPSHOTS = {
    "id": "VARCHAR", "time": "TIMESTAMP", "n": "BIGINT", "num_cells": "BIGINT",
    "num_distinct": "BIGINT", "num_held": "BIGINT", "certified_fraction": "DOUBLE",
    "coverage_at_least": "DOUBLE", "generation": "VARCHAR", "approximate": "BOOLEAN",
    "provisional": "BOOLEAN", "state_bytes": "BIGINT", "pinned": "BOOLEAN", "manifest": "VARCHAR",
}  # fmt: skip
"""Columns of the table snapshots: from manifests, but the last two; times are UTC."""

_CONTEXT = (
    "id VARCHAR, role VARCHAR, cell INTEGER[], label VARCHAR, z FLOAT[], x BLOB, topic VARCHAR, "
    'partition INTEGER, "offset" BIGINT, timestamp BIGINT'
)
"""Columns of the table context where a snapshot has none."""

_MEMORY_LIMIT = "2GB"  # of a query: a consumer may run beside it

_Found = tuple[Path, dict[str, Any]]


def open_tables(unit: Path, state: Path | None, sql: str, stack: ExitStack) -> Any:
    """Return a database with the tables that SQL may ask for, and with nothing else.

    Parameters
    ----------
    unit : Path
        The snapshot, which stays meanwhile.
    state : Path or None
        Whose snapshots are the history; None: the one is all.
    sql : str
        Only the tables that it names are opened; all of them if it names none.
    stack : ExitStack
        Closes the database, and unlocks the snapshots of the history.

    Returns
    -------
    duckdb.DuckDBPyConnection
        It reaches no file but those of the tables, no network and no Python variable.

    Raises
    ------
    SnapshotError
        If a snapshot is damaged.
    """
    wanted = [table for table in TABLES if table in sql.lower()] or list(TABLES)
    parts = [part for part in _PARTS if part in wanted]
    histories = [part for part in _PARTS if f"{part}_history" in wanted]
    manifest = checked_manifest(unit, map(_name, parts))
    found = [(unit, manifest)]
    if state is not None and ("snapshots" in wanted or histories):
        found = _history(state, [_name(part) for part in histories], stack) or found
    if "context" in wanted and CONTEXT_FILE in manifest["files"]:
        checked_manifest(unit, [CONTEXT_FILE])
        parts.append("context")
    files = [_file(unit, part) for part in parts]
    files += [_file(one, part) for part in histories for one, _ in found]
    connection = stack.enter_context(duckdb.connect())
    _lock(connection, files)
    try:
        for part in parts:
            source = _read([_file(unit, part)])
            connection.execute(f"CREATE VIEW {part} AS SELECT * FROM {source}")
        if "context" in wanted and "context" not in parts:
            connection.execute(f"CREATE TABLE context ({_CONTEXT})")
        if "spread" in wanted:
            # SQL that names no table lists them at most: then nothing is computed.
            is_named = "spread" in sql.lower()
            connection.register("spread", spread_table(unit) if is_named else COLUMNS.empty_table())
        if "snapshots" in wanted or histories:
            _create_snapshots(connection, found)
        for part in histories:
            _create_history(connection, part, found)
    except duckdb.Error as err:
        msg = f"cannot read the snapshot {unit}: {first_line(err)}"
        raise SnapshotError(msg) from err
    connection.execute("SET lock_configuration = true")
    return connection


def _history(state: Path, names: Sequence[str], stack: ExitStack) -> list[_Found]:
    """Return the snapshots of a state with their manifests; they stay meanwhile.

    Those of which a named file is damaged are skipped, as `read_manifests` does with manifests.
    """
    found = []
    for unit, manifest in read_manifests(state):
        try:
            stack.enter_context(read_lock(unit))
            check_files(unit, manifest, names)
        except StateError as err:
            if unit.exists():  # else it has been pruned just now
                logger.warning("snapshot skipped: %s", err)
            continue
        found.append((unit, manifest))
    return found


def _lock(connection: Any, files: Sequence[str]) -> None:
    """Let SQL reach the files of the tables, and nothing else of the outside."""
    allowed = ", ".join(map(_quoted, files))
    connection.execute("SET temp_directory = ''")
    connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
    connection.execute(f"SET allowed_paths = [{allowed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET python_enable_replacements = false")


def _create_snapshots(connection: Any, found: Sequence[_Found]) -> None:
    """Make the table snapshots, and its twin that history is joined with."""
    columns = ", ".join(f"{name} {kind}" for name, kind in _SNAPSHOTS.items())
    connection.execute(f"CREATE TABLE snapshots ({columns})")
    places = ", ".join("TRY_CAST(? AS TIMESTAMP)" if n == "time" else "?" for n in _SNAPSHOTS)
    for unit, manifest in found:
        more = {"pinned": is_pinned(unit), "manifest": json.dumps(manifest)}
        row = [(manifest | more).get(name) for name in _SNAPSHOTS]
        connection.execute(f"INSERT INTO snapshots VALUES ({places})", row)


def _create_history(connection: Any, part: str, found: Sequence[_Found]) -> None:
    """Make a view of one table's rows in all snapshots, with the id and time of each."""
    files = [_file(unit, part) for unit, _ in found]
    ids = ", ".join(
        f"({_quoted(file)}, {_quoted(str(manifest['id']))})"
        for file, (_, manifest) in zip(files, found, strict=True)
    )
    connection.execute(
        f"CREATE VIEW {part}_history AS "
        "SELECT snapshot_id, snapshots.time AS snapshot_time, rows.* EXCLUDE (file) "
        f"FROM {_read(files, more=', union_by_name = true, filename = file')} AS rows "
        f"JOIN (VALUES {ids}) AS named (file, snapshot_id) USING (file) "
        "JOIN snapshots ON snapshots.id = snapshot_id"
    )


def _file(unit: Path, part: str) -> str:
    """Return the path of one table's file."""
    return str((unit / _name(part)).absolute())


def _name(part: str) -> str:
    """Return the name of one table's file."""
    return f"{part}.parquet"


def _read(files: Sequence[str], more: str = "") -> str:
    """Return the SQL that reads files."""
    return f"read_parquet([{', '.join(map(_quoted, files))}]{more})"


def _quoted(text: str) -> str:
    """Return text as SQL has it."""
    return "'" + text.replace("'", "''") + "'"
