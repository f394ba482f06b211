"""The snapshots of a state over HTTP, as a program asks for them."""

import io
import json
import statistics
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pyarrow.parquet as pq
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.http.events import MAX_LISTENERS
from echo_stream.connectors.storage.snapshot_files import read_snapshot, write_snapshot
from echo_stream.connectors.storage.snapshots import list_snapshots
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.samples.validation import as_samples
from tests.support.commands import answer
from tests.support.encoders import DIM, count_words
from tests.support.http.rig import ask, make_state, served_state

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one state for all of these."""
    return make_state(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def url(state: Path) -> Iterator[str]:
    """Serve it; yields the URL of the API."""
    with served_state(state) as address:
        yield f"{address}/api/v1"


@pytest.fixture(scope="module")
def newest(state: Path) -> Snapshot:
    """Return its newest snapshot, as a program reads it from the disk."""
    return read_snapshot(list_snapshots(state)[-1])


def told(url: str) -> Any:
    """Return the JSON of an answer that has to be given."""
    found = ask(url)
    assert found.code == 200, found.body
    return found.json()


def all_rows(url: str, limit: int) -> list[dict[str, Any]]:
    """Return the rows of all pages."""
    rows: list[dict[str, Any]] = []
    while True:
        page = told(f"{url}offset={len(rows)}&limit={limit}")
        assert (page["offset"], page["limit"]) == (len(rows), limit)
        rows += page["rows"]
        if len(rows) == page["total"]:
            return rows


def test_snapshots_are_listed_newest_first(url: str, state: Path) -> None:
    """As the command lists them, and each can be asked for by its id."""
    listed = answer("snapshots", "list", "--state", state)
    page = told(f"{url}/snapshots")
    assert page["rows"] == listed[::-1]
    assert told(f"{url}/snapshots?offset=1&limit=1")["rows"] == [listed[-2]]
    one = told(f"{url}/snapshots/{listed[0]['id']}")
    assert one == answer("snapshots", "show", "--state", state, "--snapshot", listed[0]["id"])
    assert told(f"{url}/snapshots/newest")["id"] == listed[-1]["id"]


def test_the_coreset_comes_in_pages(url: str, newest: Snapshot) -> None:
    """Pages of any size make up the whole coreset in its order, without payloads."""
    rows = all_rows(f"{url}/coreset?", 7)
    assert [row["id"] for row in rows] == newest.rows.samples.ids.tolist()
    assert [row["role"] for row in rows] == newest.rows.roles.tolist()
    assert [row["weight"] for row in rows] == newest.rows.weights.tolist()
    assert [tuple(row["cell"]) for row in rows] == newest.rows.cells
    assert "x" not in rows[0]
    with_x = all_rows(f"{url}/coreset?x=true&", 9)
    assert np.array_equal([row["x"] for row in with_x], newest.rows.samples.x)
    assert told(f"{url}/coreset?offset=100000")["rows"] == []


def test_rows_are_chosen_by_role_label_and_cell(url: str, newest: Snapshot) -> None:
    """Each alone, and all together; totals count what fits."""
    rows = all_rows(f"{url}/coreset?", 100)
    one = rows[0]
    cell = ",".join(map(str, one["cell"]))
    asked = f"role={one['role']}&label={one['label']}&cell={cell}"
    fitting = [
        row for row in rows
        if all(row[name] == one[name] for name in ("role", "label", "cell"))
    ]  # fmt: skip
    assert all_rows(f"{url}/coreset?{asked}&", 1) == fitting
    roles = newest.rows.roles.tolist()
    assert told(f"{url}/coreset?role=core")["total"] == roles.count("core")
    assert told(f"{url}/coreset?label=nonsense")["total"] == 0


def test_cells_and_edges_come_in_pages(url: str, newest: Snapshot) -> None:
    """All of them, as the snapshot has them."""
    cells = all_rows(f"{url}/cells?", 11)
    assert [tuple(cell["cell"]) for cell in cells] == newest.cells.cells
    assert [cell["count"] for cell in cells] == newest.cells.counts.tolist()
    edges = all_rows(f"{url}/edges?", 11)
    assert [tuple(edge["left"]) for edge in edges] == newest.edges.left
    assert [edge["length"] for edge in edges] == newest.edges.lengths.tolist()


def test_an_older_snapshot_is_answered_like_the_newest(url: str, state: Path) -> None:
    """By its id; a page says which snapshot it is of."""
    first = read_snapshot(list_snapshots(state)[0])
    page = told(f"{url}/coreset?snapshot={first.id}")
    assert page["snapshot"] == first.id
    assert [row["id"] for row in page["rows"]] == first.rows.samples.ids.tolist()[:100]


def test_differences_and_reasons_are_those_of_the_commands(url: str, state: Path) -> None:
    """`diff` and `why` answer what the command line prints."""
    first = list_snapshots(state)[0].name
    assert told(f"{url}/diff?before={first}") == answer(
        "snapshots", "diff", first, "--state", state
    )
    sample = told(f"{url}/coreset")["rows"][0]["id"]
    assert told(f"{url}/why?id={sample}") == answer("why", sample, "--state", state)
    assert told(f"{url}/why?id=nobody")["why"]


def test_a_sample_comes_with_its_payload(url: str, newest: Snapshot) -> None:
    """As numbers, and as an image of any shape that it can have."""
    sample_id = newest.rows.samples.ids[0]
    one = told(f"{url}/sample?id={quote(sample_id)}")
    assert np.array_equal(np.float32(one["x"]), newest.rows.samples.x[0])
    assert one["rows"][0]["id"] == sample_id
    refused = ask(f"{url}/sample.png?id={quote(sample_id)}&image_shape=2,2")
    assert refused.code == 422  # these are no images, and the answer says so
    assert "samples are not images" in refused.json()["detail"]
    assert ask(f"{url}/sample?id=nobody").code == 404


def test_images_are_answered_as_png(tmp_path: Path) -> None:
    """The pixels are those of the sample."""
    from PIL import Image  # noqa: PLC0415

    images = np.random.default_rng(3).integers(0, 256, (150, 5, 6), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=images)
    words = ["--warmup", 100, "--preset", "paper", "--budget", 20, "--epochs", 0]
    answer("run", tmp_path / "images.npz", "--state", tmp_path / "state", *words)
    with served_state(tmp_path / "state") as address:
        row = told(f"{address}/api/v1/coreset?limit=1&x=true")["rows"][0]
        png = ask(f"{address}/api/v1/sample.png?id={row['id']}")
    assert png.headers["Content-Type"] == "image/png"
    assert np.asarray(Image.open(io.BytesIO(png.body))).tolist() == row["x"]


def test_whole_coresets_are_files(url: str, newest: Snapshot) -> None:
    """Parquet and npz as `snapshots export` writes them."""
    parquet = ask(f"{url}/coreset.parquet")
    table = pq.read_table(io.BytesIO(parquet.body))
    assert table["id"].to_pylist() == newest.rows.samples.ids.tolist()
    assert np.array_equal(table["x"].to_pylist(), newest.rows.samples.x)
    assert f'filename="{newest.id}.parquet"' in parquet.headers["Content-Disposition"]
    arrays = np.load(io.BytesIO(ask(f"{url}/coreset.npz?snapshot={newest.id}").body))
    assert np.array_equal(arrays["x"], newest.rows.samples.x)


@pytest.mark.parametrize(
    "name", ["../../data.npz", "/etc/passwd", "..", ".", "%00", "newest/..", "0", ""]
)
def test_no_name_becomes_a_path(url: str, name: str) -> None:
    """Only ids that are listed are opened."""
    asked = quote(name, safe="%")
    paths = ["coreset", "cells", "edges", "coreset.npz", "coreset.parquet"]
    for path in paths:
        assert ask(f"{url}/{path}?snapshot={asked}").code == 404
    assert ask(f"{url}/diff?before={asked}").code == 404
    assert ask(f"{url}/snapshots/{quote(name or '..', safe='')}").code == 404


@pytest.mark.parametrize(
    "path",
    ["coreset?limit=1001", "coreset?limit=0", "coreset?offset=-1", "cells?limit=1001",
     "snapshots?limit=1001", "coreset?role=spy", "sample.png?id=0&image_shape=2"],
)  # fmt: skip
def test_limits_hold(url: str, path: str) -> None:
    """Too much at once is refused in words."""
    refused = ask(f"{url}/{path}")
    assert refused.code == 422
    assert refused.json()["detail"]


def test_a_state_that_is_not_there_yet_has_no_snapshots(tmp_path: Path) -> None:
    """A run serves before it has made its folder, and during its warm-up."""
    with served_state(tmp_path / "none") as address:
        assert told(f"{address}/api/v1/snapshots")["rows"] == []
        refused = ask(f"{address}/api/v1/coreset")
        assert (refused.code, "no snapshot yet" in refused.json()["detail"]) == (404, True)


def test_a_damaged_snapshot_is_not_answered(tmp_path: Path) -> None:
    """Its checksum is looked at before a row of it is told."""
    state = make_state(tmp_path, snapshots=1)
    file = list_snapshots(state)[-1] / "coreset.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with served_state(state) as address:
        refused = ask(f"{address}/api/v1/coreset")
    assert (refused.code, "damaged" in refused.json()["detail"]) == (404, True)


def test_the_token_guards_all_but_the_page(state: Path) -> None:
    """The page tells nothing of the state; what it asks for needs the token."""
    with served_state(state, TOKEN) as address:
        assert ask(f"{address}/").code == 200
        for path in ("coreset", "coreset.npz", "snapshots", "events", "sample?id=0", "why?id=0"):
            assert ask(f"{address}/api/v1/{path}").code == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert ask(f"{address}/api/v1/coreset", headers).code == 200


def test_new_snapshots_are_told_of(tmp_path: Path) -> None:
    """The newest at once, and each one that comes; a client that comes back misses none."""
    state = make_state(tmp_path, snapshots=2)
    first, second, *_ = units = list_snapshots(state)
    for unit in units[1:]:
        unit.rename(tmp_path / unit.name)
    with served_state(state) as address:
        url = f"{address}/api/v1/events"
        with urlopen(url, timeout=20) as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            assert _event(stream)["id"] == first.name
            for unit in units[1:]:
                (tmp_path / unit.name).rename(unit)  # as a run puts it there
                assert _event(stream)["id"] == unit.name
        with urlopen(Request(url, headers={"Last-Event-ID": first.name}), timeout=20) as stream:
            assert _event(stream)["id"] == second.name


def test_events_end_where_they_are_asked_to(state: Path, url: str) -> None:
    """After what there is, and each listener gives its place back."""
    newest = list_snapshots(state)[-1].name
    for _ in range(MAX_LISTENERS + 1):
        found = ask(f"{url}/events?timeout=0")
        assert found.code == 200
        assert found.body.decode().startswith(f"id: {newest}\nevent: snapshot\n")
    assert ask(f"{url}/events?timeout=0.1", {"Last-Event-ID": newest}).body == b""
    assert ask(f"{url}/events?timeout=-1").code == 422


def _event(stream: Any) -> Any:
    """Return the data of the next event."""
    lines = iter(stream.readline, b"\n")
    found = dict(line.decode().rstrip("\n").split(": ", 1) for line in lines)
    data = json.loads(found["data"])
    assert found["event"] == "snapshot"
    assert found["id"] == data["id"]
    return data


def test_a_connection_that_stays_is_answered_at_once(url: str) -> None:
    """Head and body of an answer do not wait for each other, which takes 40 ms."""
    address, path = url.removeprefix("http://").split("/", 1)
    connection, times = HTTPConnection(address), []
    for _ in range(31):
        start = time.perf_counter()
        connection.request("GET", f"/{path}/coreset")
        assert connection.getresponse().read()
        times.append(time.perf_counter() - start)
    connection.close()
    assert statistics.median(times) < 0.035


def test_the_description_names_every_route(url: str) -> None:
    """OpenAPI, with the answers that are no JSON."""
    paths = told(f"{url.removesuffix('/api/v1')}/openapi.json")["paths"]
    names = {path.removeprefix("/api/v1/") for path in paths if path.startswith("/api/v1/")}
    assert names == {
        "snapshots", "snapshots/{name}", "coreset", "cells", "edges", "diff", "why", "sample",
        "sample.png", "coreset.parquet", "coreset.npz", "events",
    }  # fmt: skip
    content = paths["/api/v1/sample.png"]["get"]["responses"]["200"]["content"]
    assert list(content) == ["image/png"]


@pytest.mark.parametrize("kind", [str, bytes])
def test_payloads_are_in_rows_where_they_are_text(kind: type, tmp_path: Path) -> None:
    """Bytes are left out, and all else answers as it did."""
    texts = [f"text {row} \u00e4" for row in range(60)]
    engine = EchoCoreset(budget=10, keep=20)
    payloads = texts if kind is str else [text.encode() for text in texts]
    engine.update(as_samples(count_words(texts), None, None, payloads))
    unit = tmp_path / "state" / "snapshots" / engine.snapshot().id
    unit.parent.mkdir(parents=True)
    write_snapshot(engine.snapshot(), unit, time="2026-12-01T00:00:00+00:00", offsets={})
    with served_state(tmp_path / "state") as address:
        rows = told(f"{address}/api/v1/coreset?x=true")["rows"]
        one = told(f"{address}/api/v1/sample?id={rows[0]['id']}")
        assert ask(f"{address}/api/v1/coreset.parquet").code == 200
        assert ask(f"{address}/api/v1/coreset.npz").code == (200 if kind is str else 422)
    assert len(rows) == 10
    if kind is str:
        assert [row["payload"] for row in rows] == [texts[int(row["id"])] for row in rows]
        assert one["rows"][0]["payload"] == rows[0]["payload"]
    else:
        assert not any("payload" in row for row in (*rows, *one["rows"]))
    assert len(rows[0]["x"]) == DIM
