"""SQL over a snapshot: what it answers, and all that it cannot reach."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from echo_stream import EchoCoreset, Snapshot, spread_labels
from echo_stream.connectors.inspect.query import MAX_ROWS, query_snapshot, query_table
from echo_stream.connectors.inspect.sql_tables import open_tables
from echo_stream.connectors.storage.snapshot_files import write_snapshot
from echo_stream.errors import QueryError, SnapshotError
from tests.support.crashes.damage import overwrite
from tests.support.strategies import identity_generation

N = 60


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """Return a snapshot of labelled points, every seventh label unknown."""
    x = np.random.default_rng(0).random((N, 2)).astype(np.float32)
    y = [None if row % 7 == 0 else f"c{row % 3}" for row in range(N)]
    engine = EchoCoreset(
        12, preset="paper", support=1, generation=identity_generation(2, 4), device="cpu"
    )
    return engine.fit(x, y).snapshot()


@pytest.fixture(scope="module")
def unit(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the snapshot."""
    folder = tmp_path_factory.mktemp("query") / "unit"
    write_snapshot(snapshot, folder, time="2026-01-02", offsets={"row": N})
    return folder


def test_rows_are_dictionaries(snapshot: Snapshot, unit: Path) -> None:
    """Columns by name, in the order of the query, as Python's own types."""
    sql = "SELECT id, label, weight, z, cell, x FROM coreset ORDER BY selection_rank LIMIT 1"
    (row,) = query_snapshot(unit, sql)
    samples = snapshot.rows.samples
    assert samples.labels is not None
    assert list(row) == ["id", "label", "weight", "z", "cell", "x"]
    assert row == {
        "id": samples.ids[0],
        "label": samples.labels[0],
        "weight": float(snapshot.rows.weights[0]),
        "z": np.float32(snapshot.rows.latents[0]).tolist(),
        "cell": list(snapshot.rows.cells[0]),
        "x": samples.x[0].tobytes(),
    }


def test_three_tables(snapshot: Snapshot, unit: Path) -> None:
    """The coreset, the cells and the edges can be joined."""
    sql = "SELECT count(*) AS n FROM {}"
    for table, n in (
        ("coreset", len(snapshot.rows)),
        ("cells", len(snapshot.cells.cells)),
        ("edges", len(snapshot.edges.left)),
        ("coreset JOIN cells ON coreset.cell = cells.cell", len(snapshot.rows)),
        ("edges JOIN cells ON edges.left = cells.cell", len(snapshot.edges.left)),
    ):
        assert query_snapshot(unit, sql.format(table)) == [{"n": n}]


def test_the_context_is_a_table(snapshot: Snapshot, unit: Path) -> None:
    """All that is held and not chosen."""
    assert snapshot.context is not None
    found = query_snapshot(unit, "SELECT id, role, label, z, x FROM context")
    samples = snapshot.context.samples
    assert samples.labels is not None
    assert [(row["id"], row["role"], row["label"], row["x"]) for row in found] == [
        (one, "context", label, x.tobytes())
        for one, label, x in zip(samples.ids, samples.labels, samples.x, strict=True)
    ]
    sql = "SELECT count(*) AS n FROM context ANTI JOIN coreset USING (id)"
    assert query_snapshot(unit, sql) == [{"n": len(found)}]


def test_labels_are_spread_where_they_are_asked_for(snapshot: Snapshot, unit: Path) -> None:
    """Over rows and context, with the labelled sample that each follows; given ones stay."""
    found = query_snapshot(unit, "SELECT * FROM spread")
    samples, _ = snapshot.held()
    spread = spread_labels(snapshot)
    assert [row["id"] for row in found] == samples.ids.tolist()
    roles = [*snapshot.rows.roles, *["context"] * (len(samples) - len(snapshot.rows))]
    assert [row["role"] for row in found] == roles
    assert [row["label"] for row in found] == spread.labels.tolist()
    assert [row["confidence"] for row in found] == spread.confidence.tolist()
    assert samples.labels is not None
    for row, label in zip(found, samples.labels, strict=True):
        assert row["is_given"] == (label is not None)
        assert not row["is_given"] or (row["label"], row["follows"]) == (label, row["id"])
    given = {row["id"]: row["label"] for row in found if row["is_given"]}
    others = [row for row in found if not row["is_given"]]
    assert others
    assert [given[row["follows"]] for row in others] == [row["label"] for row in others]


def test_without_labels_or_context_there_is_little_to_spread(tmp_path: Path) -> None:
    """The tables are there; no label arrives, and that is said by nulls."""
    x = np.random.default_rng(0).random((N, 2)).astype(np.float32)
    engine = EchoCoreset(12, keep=20, snapshot_context=False, device="cpu")
    write_snapshot(engine.fit(x).snapshot(), tmp_path / "unit", time="", offsets={})
    sql = "SELECT count(*) AS n, count(label) AS labels, count(follows) AS followed FROM spread"
    assert query_snapshot(tmp_path / "unit", sql) == [{"n": 12, "labels": 0, "followed": 0}]
    columns = "SELECT id, role, cell, label, z, x, topic, partition, 'offset', timestamp"
    assert query_snapshot(tmp_path / "unit", f"{columns} FROM context") == []


def test_sums_are_those_of_the_stream(unit: Path) -> None:
    """Weights and counts stand for every sample, not only for those kept."""
    sql = "SELECT sum(weight) AS weight, sum(DISTINCT n) AS n FROM coreset, ({})"
    (row,) = query_snapshot(unit, sql.format("SELECT sum(count)::BIGINT AS n FROM cells"))
    assert (round(row["weight"]), row["n"]) == (N, N)


def test_unknown_labels_are_null(snapshot: Snapshot, unit: Path) -> None:
    """SQL's own word for unknown finds them."""
    assert snapshot.rows.samples.labels is not None
    known = [label for label in snapshot.rows.samples.labels if label is not None]
    sql = "SELECT count(*) AS rows, count(label) AS known FROM coreset"
    assert query_snapshot(unit, sql) == [{"rows": len(snapshot.rows), "known": len(known)}]


def test_no_rows(unit: Path) -> None:
    """Nothing found is an answer."""
    assert query_snapshot(unit, "SELECT * FROM coreset WHERE false") == []


def test_columns_of_one_name(unit: Path) -> None:
    """None hides another: the later ones are numbered."""
    sql = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    assert list(query_snapshot(unit, sql)[0].values()) == [1, 2, 3, 4]
    assert list(query_snapshot(unit, "SELECT 1 AS a, 2 AS a")[0]) == ["a", "a_1"]


def test_many_columns(unit: Path) -> None:
    """Names are told apart in a time that grows with their number alone."""
    sql = f"SELECT {', '.join(['1 AS a'] * 5_000)}"
    start = time.process_time()
    (row,) = query_snapshot(unit, sql)
    assert list(row)[-1] == "a_4999"
    assert time.process_time() - start < 10


@pytest.mark.parametrize("sql", ["", " ", "-- nothing", ";"])
def test_empty_query(unit: Path, sql: str) -> None:
    """A question that was forgotten is no answer without rows."""
    with pytest.raises(QueryError, match="the query is empty; give a SELECT"):
        query_snapshot(unit, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE mine (n INT)",
        "INSERT INTO coreset SELECT * FROM coreset",
        "DROP VIEW coreset",
        "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
        "PREPARE one AS SELECT 1",
        "BEGIN",
        "CHECKPOINT",
        "PRAGMA version",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SET threads = 1",
        "USE memory",
    ],
)
def test_only_what_reads_may_run(unit: Path, sql: str) -> None:
    """A query is a question."""
    with pytest.raises(QueryError, match=r"only SELECT and similar statements may run; got [A-Z]+"):
        query_snapshot(unit, sql)


def test_one_statement(unit: Path) -> None:
    """A second one would hide what the first has given."""
    with pytest.raises(QueryError, match="give one statement; got 2"):
        query_snapshot(unit, "SELECT 1; SELECT 2")
    assert query_snapshot(unit, "SELECT 7 AS n;") == [{"n": 7}]


@pytest.mark.parametrize(
    "sql",
    [
        "WITH one AS (SELECT 1 AS n) FROM one",
        "FROM coreset",
        "VALUES (1)",
        "SHOW TABLES",
        "DESCRIBE coreset",
        "SUMMARIZE cells",
    ],
)
def test_what_reads_may_run(unit: Path, sql: str) -> None:
    """Not SELECT alone."""
    assert query_snapshot(unit, sql)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "Parser Error"),
        ("SELECT * FROM", "Parser Error"),
        ("SELECT * FROM samples", "samples does not exist"),
        ("SELECT colour FROM coreset", '"colour" not found'),
        ("SELECT 'cat'::INT", "Conversion Error"),
        ("SELECT error('one\ntwo')", "one"),
        ("SELECT ?", "Values were not provided"),
        ("SELECT 1; SELEC 2", "Parser Error"),
    ],
)
def test_wrong_sql(unit: Path, sql: str, words: str) -> None:
    """What the database says of it, in one line."""
    with pytest.raises(QueryError, match=words) as caught:
        query_snapshot(unit, sql)
    assert str(caught.value).startswith("the query failed: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("sql", "marked"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC", in line 1: ^SELEC 1'),
        ("SELECT id,\n colour\nFROM coreset", "in line 2: ^colour"),
        ("SELECT 'cat'::INT", "in line 1: SELECT 'cat'^::INT"),
    ],
)
def test_caret_is_where_it_is_wrong(unit: Path, sql: str, marked: str) -> None:
    """The line of SQL is quoted with a caret before what the database does not like."""
    with pytest.raises(QueryError) as caught:
        query_snapshot(unit, sql)
    assert str(caught.value).endswith(marked)


REACHING_FILES = [
    "SELECT * FROM '{file}'",
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_csv_auto('{file}')",
    "SELECT * FROM sniff_csv('{file}')",
    "SELECT * FROM read_json('{file}')",
    "SELECT * FROM read_text('{file}')",
    "SELECT * FROM read_blob('{file}')",
    "SELECT * FROM read_parquet('/etc/passwd')",
    "SELECT * FROM parquet_metadata('{folder}/coreset.parquet')",
    "SELECT * FROM glob('{folder}/*')",
    "COPY mine FROM '{file}'",
    "COPY coreset TO '{file}'",
    "COPY coreset TO '{folder}/new.csv'",
    "COPY (SELECT 1) TO '{folder}/new.parquet'",
    "EXPORT DATABASE '{folder}/new'",
    "IMPORT DATABASE '{folder}'",
    "ATTACH '{folder}/new.db'",
    "ATTACH '{file}' AS other (TYPE sqlite)",
    "INSTALL httpfs",
    "FORCE INSTALL spatial FROM '{folder}'",
    "LOAD httpfs",
    "LOAD '{file}'",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "SET enable_external_access = true",
    "SET GLOBAL enable_external_access = true",
    "RESET enable_external_access",
    "PRAGMA enable_external_access = true",
    "SET lock_configuration = false",
    "SET python_enable_replacements = true",
    "SET python_scan_all_frames = true",
    "SET allowed_directories = ['{folder}']",
    "SET log_query_path = '{folder}/new.log'",
    "SET temp_directory = '{folder}/new'",
    "PRAGMA profiling_output = '{folder}/new.json'",
    "SELECT getenv('HOME')",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/new.csv'",
    "WITH word AS (SELECT * FROM read_text('{file}')) FROM word",
    "SELECT (SELECT content FROM read_text('{file}'))",
    "DESCRIBE SELECT * FROM '{file}'",
    "SUMMARIZE SELECT * FROM '{file}'",
]


@pytest.mark.parametrize("sql", REACHING_FILES)
def test_sql_reaches_no_file(unit: Path, tmp_path: Path, sql: str) -> None:
    """Not to read, to write, to attach or to load; nor can it allow itself to."""
    file = tmp_path / "secret.csv"
    file.write_text("word\nsesame\n")
    with pytest.raises(QueryError) as caught:
        query_snapshot(unit, sql.format(file=file, folder=tmp_path))
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "word\nsesame\n"


@pytest.mark.parametrize("sql", REACHING_FILES)
def test_database_itself_reaches_no_file(unit: Path, tmp_path: Path, sql: str) -> None:
    """Were another kind of statement let through, it would find everything locked."""
    file = tmp_path / "secret.csv"
    file.write_text("word\nsesame\n")
    with ExitStack() as stack:
        connection = open_tables(unit, None, "", stack)
        connection.execute("CREATE TABLE mine (word TEXT)")
        with pytest.raises(duckdb.Error):
            connection.execute(sql.format(file=file, folder=tmp_path)).fetchall()
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "word\nsesame\n"


def test_sql_cannot_write_over_the_tables(unit: Path) -> None:
    """Their files are open to be read, and only for that."""
    before = {path.name: path.read_bytes() for path in unit.iterdir()}
    for sql in (
        "COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "WITH a AS (COPY (SELECT 1) TO '{file}') SELECT 1",
        "SELECT * FROM (COPY (SELECT 1) TO '{file}')",
    ):
        with pytest.raises(QueryError):
            query_snapshot(unit, sql.format(file=unit / "coreset.parquet"))
    assert {path.name: path.read_bytes() for path in unit.iterdir()} == before


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    """Run a web server on this machine; yield its address and the requests it has had."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}", requests
        web.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '{address}/data.csv'",
        "SELECT * FROM read_csv('{address}/data.csv')",
        "SELECT * FROM read_parquet('{address}/data.parquet')",
        "COPY coreset TO '{address}/data.csv'",
        "ATTACH '{address}/data.db'",
        "INSTALL httpfs FROM '{address}'",
    ],
)
def test_sql_reaches_no_network(unit: Path, server: tuple[str, list[str]], sql: str) -> None:
    """No request leaves the process, not even to this machine."""
    address, requests = server
    with pytest.raises(QueryError):
        query_snapshot(unit, sql.format(address=address))
    assert requests == []


# Names of variables where the database is called, one of them an Arrow table.
@pytest.mark.parametrize("name", ["table", "tables", "connection", "unit"])
def test_sql_reaches_no_python_variable(unit: Path, name: str) -> None:
    """A name that is no table of the snapshot is no variable of ours either."""
    with pytest.raises(QueryError, match=f"{name} does not exist"):
        query_snapshot(unit, f'SELECT * FROM "{name}"')


@pytest.mark.parametrize("damage", [Path.unlink, overwrite])
@pytest.mark.parametrize("name", ["coreset.parquet", "edges.parquet", "manifest.json"])
def test_damaged_snapshot(
    snapshot: Snapshot, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    """A file that is missing or invalid is told before any SQL runs."""
    write_snapshot(snapshot, tmp_path / "unit", time="", offsets={})
    damage(tmp_path / "unit" / name)
    with pytest.raises(SnapshotError, match=name.replace(".", r"\.")) as caught:
        query_snapshot(tmp_path / "unit", "SELEC")
    assert len(str(caught.value).splitlines()) == 1


def test_damage_within_a_file_is_named(
    snapshot: Snapshot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A snapshot with a byte that has changed is refused; the history is told without it."""
    for name in ("s1", "s2"):
        write_snapshot(snapshot, tmp_path / "snapshots" / name, time="", offsets={})
    damaged = tmp_path / "snapshots" / "s1" / "coreset.parquet"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(SnapshotError, match=r"s1/coreset\.parquet is damaged: its checksum"):
        query_snapshot(tmp_path / "snapshots" / "s1", "SELECT max(id) FROM coreset", state=tmp_path)
    rows = query_snapshot(
        tmp_path / "snapshots" / "s2", "SELECT count(*) AS n FROM coreset_history", state=tmp_path
    )
    assert rows == [{"n": len(snapshot.rows)}]
    assert f"snapshot skipped: {damaged} is damaged" in caplog.text


def test_no_snapshot(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    with pytest.raises(SnapshotError, match="nothing"):
        query_snapshot(tmp_path / "nothing", "SELECT 1")


@pytest.mark.parametrize("ask", [query_snapshot, query_table])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range % 7 = 1",
        "SELECT max(a.range) FROM range(1000000000000) a",
    ],
)
def test_time_limit(unit: Path, sql: str, ask: Callable[..., object]) -> None:
    """A query that would run for ever ends soon after its time, and says so."""
    start = time.monotonic()
    with pytest.raises(QueryError, match=r"it took longer than 0\.2 s; .* timeout"):
        ask(unit, sql, timeout_s=0.2)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("ask", [query_snapshot, query_table])
def test_too_many_rows(unit: Path, ask: Callable[..., object]) -> None:
    """A result that would fill the memory is refused before it does."""
    with pytest.raises(QueryError, match="gives more than 1,000,000 rows; add a LIMIT"):
        ask(unit, f"SELECT * FROM range({MAX_ROWS * 1_000_000})")


def test_table_has_types(unit: Path) -> None:
    """As Arrow the result keeps them, without rows too; equal names are numbered."""
    table = query_table(unit, "SELECT id, weight, z, x, 1 AS id FROM coreset WHERE false")
    assert (table.num_rows, table.column_names) == (0, ["id", "weight", "z", "x", "id_1"])
    assert table.schema.types[:4] == [
        pa.string(),
        pa.float64(),
        pa.list_(pa.field("l", pa.float32())),
        pa.binary(),
    ]
    rows = query_table(unit, "SELECT id, label, weight FROM coreset").to_pylist()
    assert rows == query_snapshot(unit, "SELECT id, label, weight FROM coreset")


def test_history(tmp_path: Path) -> None:
    """All snapshots of a state can be asked at once, whatever kind their labels are of."""
    x = np.random.default_rng(0).random((30, 2)).astype(np.float32)
    labels = {10: None, 20: [row % 2 for row in range(20)], 30: ["a", "b", "c"] * 10}
    ids = {}
    for n, y in labels.items():
        engine = EchoCoreset(4, latent="identity", device="cpu")
        snapshot = engine.fit(x[:n], y).snapshot()
        ids[n] = snapshot.id
        day = f"2026-01-{n}T12:00:00+00:00"
        write_snapshot(snapshot, tmp_path / "snapshots" / snapshot.id, time=day, offsets={})
    unit = tmp_path / "snapshots" / ids[20]
    sql = (
        "SELECT snapshot_id, month(snapshot_time) AS month, count(*) AS n, max(label) AS label "
        "FROM coreset_history GROUP BY ALL ORDER BY snapshot_id"
    )
    assert query_snapshot(unit, sql, state=tmp_path) == [
        {"snapshot_id": ids[10], "month": 1, "n": 4, "label": None},
        {"snapshot_id": ids[20], "month": 1, "n": 4, "label": "1"},
        {"snapshot_id": ids[30], "month": 1, "n": 4, "label": "c"},
    ]
    sql = "SELECT id, n, day(time) AS day, pinned, manifest->>'$.config.budget' AS budget "
    assert query_snapshot(unit, sql + "FROM snapshots ORDER BY n", state=tmp_path) == [
        {"id": ids[n], "n": n, "day": n, "pinned": False, "budget": "4"} for n in labels
    ]
    sql = (
        "SELECT n, sum(count)::INT AS counted, (SELECT count(*) FROM edges_history AS e "
        "WHERE e.snapshot_id = s.id) > 0 AS linked, (SELECT count(*) FROM cells) AS cells "
        "FROM cells_history JOIN snapshots AS s ON s.id = snapshot_id GROUP BY n, s.id ORDER BY n"
    )
    history = query_snapshot(unit, sql, state=tmp_path)
    assert [(row["n"], row["counted"], row["linked"]) for row in history] == [
        (n, n, True) for n in labels
    ]
    (alone,) = query_snapshot(unit, sql)
    assert alone == history[1]


@pytest.mark.parametrize("name", ["coreset.parquet", "manifest.json"])
def test_history_skips_what_is_damaged(
    tmp_path: Path, snapshot: Snapshot, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named, and all others are asked."""
    for number in (1, 2, 3):
        day = f"2026-01-0{number}T00:00:00+00:00"
        one = replace(snapshot, manifest={**snapshot.manifest, "id": f"s{number}"})
        write_snapshot(one, tmp_path / "snapshots" / f"s{number}", time=day, offsets={})
    damaged = tmp_path / "snapshots" / "s2" / name
    with damaged.open("r+b") as file:
        file.truncate(100)
    sql = "SELECT DISTINCT snapshot_id AS id FROM coreset_history ORDER BY 1"
    rows = query_snapshot(tmp_path / "snapshots" / "s3", sql, state=tmp_path)
    assert rows == [{"id": "s1"}, {"id": "s3"}]
    assert f"snapshot skipped: {damaged} is damaged" in caplog.text


def test_history_of_a_weird_path(tmp_path: Path, snapshot: Snapshot) -> None:
    """A folder may have any name, and no other file is taken for the table's."""
    for name in ("it's [a] *.?", "it's a x"):
        write_snapshot(snapshot, tmp_path / name / "snapshots" / "s", time="", offsets={})
    (tmp_path / "it's a x" / "snapshots" / "s" / "coreset.parquet").write_bytes(b"no")
    state = tmp_path / "it's [a] *.?"
    sql = "SELECT (SELECT count(*) FROM coreset) AS a, (SELECT count(*) FROM coreset_history) AS b"
    n = len(snapshot.rows)
    assert query_snapshot(state / "snapshots" / "s", sql, state=state) == [{"a": n, "b": n}]


def test_tables_are_named(unit: Path) -> None:
    """Whoever asks sees what can be asked."""
    assert [row["name"] for row in query_snapshot(unit, "SHOW TABLES")] == [
        "cells", "cells_history", "context", "coreset", "coreset_history", "edges",
        "edges_history", "snapshots", "spread",
    ]  # fmt: skip
