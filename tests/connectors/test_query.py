"""SQL over a snapshot: what it answers, and all that it cannot reach."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from echo_stream import EchoCoreset, Snapshot
from echo_stream.connectors.query import query_snapshot
from echo_stream.connectors.snapshot_files import write_snapshot
from echo_stream.errors import QueryError, SnapshotError
from tests.strategies import identity_generation

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
    write_snapshot(snapshot, folder, time="2026-01-02", position={"row": N})
    return folder


def test_rows_are_dictionaries(snapshot: Snapshot, unit: Path) -> None:
    """Columns by name, in the order of the query, as Python's own types."""
    sql = "SELECT id, label, weight, z, cell, x FROM coreset ORDER BY position LIMIT 1"
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
    """Nothing found is an answer, as is a statement without one."""
    assert query_snapshot(unit, "SELECT * FROM coreset WHERE false") == []
    assert query_snapshot(unit, "CREATE TABLE mine (n INT)") == []


def test_columns_of_one_name(unit: Path) -> None:
    """None hides another: the later ones are numbered."""
    sql = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    assert list(query_snapshot(unit, sql)[0].values()) == [1, 2, 3, 4]
    assert list(query_snapshot(unit, "SELECT 1 AS a, 2 AS a")[0]) == ["a", "a_1"]


@pytest.mark.parametrize("sql", ["", " ", "-- nothing", ";"])
def test_empty_query(unit: Path, sql: str) -> None:
    """A question that was forgotten is no answer without rows."""
    with pytest.raises(QueryError, match="the query is empty; give a SELECT"):
        query_snapshot(unit, sql)


def test_last_statement_answers(unit: Path) -> None:
    """Several statements may prepare a question; each call begins anew."""
    sql = "CREATE TABLE mine AS SELECT 7 AS n; SELECT n FROM mine"
    assert query_snapshot(unit, sql) == query_snapshot(unit, sql) == [{"n": 7}]


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
        ("INSERT INTO coreset SELECT * FROM coreset", "coreset"),
    ],
)
def test_wrong_sql(unit: Path, sql: str, words: str) -> None:
    """What the database says of it, in one line."""
    with pytest.raises(QueryError, match=words) as caught:
        query_snapshot(unit, sql)
    assert str(caught.value).startswith("the query failed: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "sql",
    [
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
    ],
)
def test_sql_reaches_no_file(unit: Path, tmp_path: Path, sql: str) -> None:
    """Not to read, to write, to attach or to load; nor can it allow itself to."""
    file = tmp_path / "secret.csv"
    file.write_text("word\nsesame\n")
    query = "CREATE TABLE mine (word TEXT); " + sql.format(file=file, folder=tmp_path)
    with pytest.raises(QueryError) as caught:
        query_snapshot(unit, query)
    assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_text() == "word\nsesame\n"


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


def test_snapshot_is_left_as_it_is(unit: Path) -> None:
    """Whatever SQL does to the tables, it does to a copy."""
    before = {path.name: path.read_bytes() for path in unit.iterdir()}
    for sql in (
        "DROP VIEW coreset",
        "CREATE OR REPLACE TABLE edges AS SELECT 1",
        "DROP VIEW cells",
    ):
        try:
            query_snapshot(unit, sql)
        except QueryError:
            continue
    assert {path.name: path.read_bytes() for path in unit.iterdir()} == before
    assert query_snapshot(unit, "SELECT count(*) > 1 AS ok FROM edges") == [{"ok": True}]


def overwrite(path: Path) -> None:
    """Put something else into a file."""
    path.write_bytes(b"PAR1 but not really PAR1")


@pytest.mark.parametrize("damage", [Path.unlink, overwrite])
@pytest.mark.parametrize("name", ["coreset.parquet", "edges.parquet", "manifest.json"])
def test_damaged_snapshot(
    snapshot: Snapshot, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    """A file that is missing or illegible is told before any SQL runs."""
    write_snapshot(snapshot, tmp_path / "unit", time="", position={})
    damage(tmp_path / "unit" / name)
    with pytest.raises(SnapshotError, match=name.replace(".", r"\.")) as caught:
        query_snapshot(tmp_path / "unit", "SELEC")
    assert len(str(caught.value).splitlines()) == 1


def test_no_snapshot(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    with pytest.raises(SnapshotError, match="nothing"):
        query_snapshot(tmp_path / "nothing", "SELECT 1")
