"""`echo-stream query`: SQL over a snapshot."""

import base64
import io
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.commands import (
    TINY,
    N,
    answer,
    command_process,
    content,
    finish,
    refusal,
    run_command,
    write_data,
)
from tests.support.crashes.environment import user_environment

LABELS = "SELECT label, count(*) AS n FROM coreset WHERE role = 'core' GROUP BY label ORDER BY 1"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with snapshots at 100, 200 and 300 samples."""
    folder = tmp_path_factory.mktemp("query")
    data = write_data(folder / "data.npz")
    answer("run", data, "--state", folder / "state", *TINY, "--warmup", 50, "--snapshot-every", 100)
    return folder / "state"


def test_rows_are_json(state: Path) -> None:
    """A row is an object, its keys are the columns, numbers are numbers."""
    rows = answer("query", LABELS, "--state", state)
    assert [row["label"] for row in rows] == [0, 1, 2]
    assert sum(row["n"] for row in rows) == 20


def test_table_is_for_people(state: Path) -> None:
    """--format table shows the same rows in columns."""
    rows = answer("query", LABELS, "--state", state)
    table = run_command("query", LABELS, "--state", state, "--format", "table").stdout
    assert [word in table.splitlines()[1] for word in ("label", "n")] == [True, True]
    cells = [line.strip("│").split("│") for line in table.splitlines() if line.startswith("│")]
    assert [[int(cell) for cell in line] for line in cells] == [[r["label"], r["n"]] for r in rows]


def test_table_is_never_cut(state: Path) -> None:
    """In a pipe or a file, wide values are whole."""
    sql = f"SELECT '{'wide' * 60}' AS text"
    assert "wide" * 60 in run_command("query", sql, "--state", state, "--format", "table").stdout


@pytest.mark.parametrize("table", ["coreset", "cells", "edges"])
def test_tables(state: Path, table: str) -> None:
    """The snapshot's three tables are there."""
    (row,) = answer("query", f"SELECT count(*) AS n FROM {table}", "--state", state)
    assert row["n"] > 0


def test_cells_count_every_sample(state: Path) -> None:
    """What is asked is the whole stream's summary, not only the rows kept."""
    assert answer("query", "SELECT sum(count)::INT AS n FROM cells", "--state", state) == [{"n": N}]


def test_lists_stay_lists(state: Path) -> None:
    """A vector is a JSON array."""
    (row,) = answer("query", "SELECT z, cell FROM coreset LIMIT 1", "--state", state)
    assert [len(row["z"]), len(row["cell"])] == [2, 2]


def test_newest_snapshot_by_default_or_one_by_id_or_path(state: Path) -> None:
    """The state's newest is asked, unless --snapshot names another."""
    oldest = answer("snapshots", "list", "--state", state)[0]["id"]
    sql = "SELECT sum(count)::INT AS n FROM cells"
    path = state / "snapshots" / oldest
    assert answer("query", sql, "--state", state) == [{"n": 300}]
    assert answer("query", sql, "--state", state, "--snapshot", oldest) == [{"n": 100}]
    assert answer("query", sql, "--snapshot", path) == [{"n": 100}]
    assert answer("query", sql, "--state", state, "--snapshot", path) == [{"n": 100}]


def test_state_from_the_environment(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECHO_STREAM_STATE saves typing."""
    monkeypatch.setenv("ECHO_STREAM_STATE", str(state))
    assert len(answer("query", LABELS)) == 3


@pytest.mark.parametrize("output_format", ["json", "table"])
def test_no_rows(state: Path, output_format: str) -> None:
    """Nothing found is an answer."""
    sql = "SELECT * FROM coreset WHERE label = 99"
    result = run_command("query", sql, "--state", state, "--format", output_format)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == ("[]" if output_format == "json" else "")


@pytest.mark.parametrize(
    "sql",
    [
        "COPY coreset TO '{folder}/stolen.csv'",
        "SELECT * FROM '{folder}/secret.csv'",
        "ATTACH '{folder}/new.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
    ],
)
def test_sql_reaches_no_files(state: Path, tmp_path: Path, sql: str) -> None:
    """A query can neither read nor write beside the snapshot."""
    (tmp_path / "secret.csv").write_text("word\nsesame\n")
    before = content(state), content(tmp_path)
    line = refusal("query", sql.format(folder=tmp_path), "--state", state, exit_code=1)
    assert "the query failed" in line
    assert (content(state), content(tmp_path)) == before


def test_query_changes_nothing(state: Path) -> None:
    """Even SQL that deletes works on a copy, or is refused."""
    before = content(state)
    for sql in ("CREATE TABLE t AS SELECT * FROM coreset", "DROP VIEW coreset"):
        run_command("query", sql, "--state", state)
    assert content(state) == before
    assert answer("query", "SELECT count(*) > 0 AS ok FROM coreset", "--state", state)[0]["ok"]


def test_values_that_json_has_no_words_for(state: Path) -> None:
    """NaN and infinities are null, bytes are base64, equal names are numbered."""
    sql = (
        "SELECT sqrt(2) * 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, 1 AS c, 2 AS c FROM cells LIMIT 1"
    )
    assert answer("query", sql, "--state", state) == [{"a": None, "b": None, "c": 1, "c_1": 2}]
    (row,) = answer("query", "SELECT x FROM coreset LIMIT 1", "--state", state)
    assert len(base64.b64decode(row["x"], validate=True)) == 4 * 4


def test_empty_query_is_refused(state: Path) -> None:
    """No statement is no query."""
    assert "the query is empty" in refusal("query", "", "--state", state, exit_code=1)


def test_nothing_named_is_wrong_usage() -> None:
    """Without a state and a snapshot there is nothing to ask."""
    assert "give --state, or --snapshot with a path" in refusal("query", "SELECT 1", exit_code=2)


def test_csv(state: Path) -> None:
    """Columns have a header; lists are JSON, unknown values empty, quotes doubled."""
    sql = "SELECT 'say \"hi\", you' AS word, NULL AS nothing, [1, 2] AS list, 0.5 AS half"
    result = run_command("query", sql, "--state", state, "--format", "csv")
    assert result.stdout == 'word,nothing,list,half\n"say ""hi"", you",,"[1, 2]",0.5\n'


def test_parquet_goes_to_a_file(state: Path) -> None:
    """What the shell redirects is a Parquet file with the types of the database."""
    sql = "SELECT id, weight, z FROM coreset ORDER BY selection_rank"
    command = ("query", sql, "--state", state)
    words = [sys.executable, "-m", "echo_stream", *map(str, command), "--format", "parquet"]
    result = subprocess.run(words, capture_output=True, check=True, env=user_environment())
    assert result.stderr == b""
    assert pq.read_table(io.BytesIO(result.stdout)).to_pylist() == answer(*command)


def test_history_is_one_query(state: Path) -> None:
    """All snapshots of the state, beside the one that is asked."""
    sql = "SELECT snapshot_id AS id, sum(count)::INT AS n FROM cells_history GROUP BY 1 ORDER BY 1"
    listed = answer("snapshots", "list", "--state", state)
    expected = [{"id": line["id"], "n": line["n"]} for line in listed]
    assert answer("query", sql, "--state", state) == expected
    assert answer("query", "SELECT id, n FROM snapshots ORDER BY n", "--state", state) == expected


def test_time_limit(state: Path) -> None:
    """A query that takes too long is ended, exit code 1."""
    sql = "SELECT max(range) FROM range(1000000000000)"
    line = refusal("query", sql, "--state", state, "--timeout", "0.2", exit_code=1)
    assert "longer than 0.2 s" in line
    refusal("query", sql, "--state", state, "--timeout", 0, exit_code=2)


def test_what_heeds_no_interrupt_ends_too(state: Path) -> None:
    """Of one long call of a function the database is not asked to come to an end."""
    sql = "SELECT length(lpad('x', 2000000000, 'y'))"
    with command_process("query", sql, "--state", state, "--timeout", 0.5) as process:
        result = finish(process)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: the query failed: it took longer than 0.5 s; ask for less, or allow more with "
        "--timeout\n"
    )
