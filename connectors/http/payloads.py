"""Samples as JSON and PNG, and whole coresets as files."""

import tempfile
import threading
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Response

from echo_stream.connectors.http.api import PREFIX, REFUSALS, SampleId, SnapshotName
from echo_stream.connectors.http.snapshot_views import NEWEST, SnapshotView, SnapshotViews
from echo_stream.connectors.inspect.export import export_snapshot
from echo_stream.connectors.inspect.images import as_png
from echo_stream.connectors.storage.snapshot_files import read_snapshot
from echo_stream.connectors.storage.snapshots import open_snapshot

_FORMATS = {
    "parquet": "application/vnd.apache.parquet",
    "npz": "application/octet-stream",
}


def payload_router(views: SnapshotViews) -> APIRouter:
    """Return the routes to payloads: `/sample`, `/sample.png`, `/coreset.parquet`, `.npz`."""
    router = APIRouter(prefix=PREFIX, tags=["payloads"], responses=REFUSALS)

    @router.get("/sample", summary="One sample of a snapshot, with its payload x")
    def sample(sample_id: SampleId, snapshot: SnapshotName = NEWEST) -> dict[str, Any]:
        view = views.view(snapshot)
        rows = _rows_of(view, sample_id)
        told = view.tables["coreset"].take(rows).to_pylist()
        return {
            "snapshot": view.id,
            "id": sample_id,
            "rows": told,
            "x": view.vector(rows[0]).tolist(),
        }

    @router.get(
        "/sample.png", summary="One sample as an image", response_class=Response,
        responses={200: {"content": {"image/png": {}}}},
    )  # fmt: skip
    def sample_png(
        sample_id: SampleId,
        snapshot: SnapshotName = NEWEST,
        image_shape: Annotated[
            str | None, Query(pattern=r"^[0-9]{1,6}(,[0-9]{1,6}){1,2}$", max_length=20,
                              description="Of images, where samples are vectors: 28,28."),
        ] = None,
    ) -> Response:  # fmt: skip
        view = views.view(snapshot)
        shape = None if image_shape is None else [int(size) for size in image_shape.split(",")]
        content = as_png(view.vector(_rows_of(view, sample_id)[0]), shape)
        return Response(content, media_type="image/png")

    one_at_a_time = threading.Lock()

    def add(suffix: str, media_type: str) -> None:
        @router.get(
            f"/coreset.{suffix}", summary=f"A coreset as .{suffix}", response_class=Response,
            name=f"coreset_{suffix}", responses={200: {"content": {media_type: {}}}},
        )  # fmt: skip
        def download(snapshot: SnapshotName = NEWEST) -> Response:
            known = views.known(snapshot)
            with one_at_a_time:
                name, content = _exported(views.state, known, suffix)
            disposition = f'attachment; filename="{name}.{suffix}"'
            return Response(content, 200, {"Content-Disposition": disposition}, media_type)

    for suffix, media_type in _FORMATS.items():
        add(suffix, media_type)
    return router


def _rows_of(view: SnapshotView, sample_id: str) -> list[int]:
    """Return the rows of a sample; 404 where there are none."""
    rows = view.rows_by_id.get(sample_id)
    if rows is None:
        raise HTTPException(404, f"the snapshot {view.id} has no sample {sample_id[:80]!r}")
    return rows


def _exported(state: Path, name: str | None, suffix: str) -> tuple[str, bytes]:
    """Return the id of a snapshot, and what `snapshots export` writes of it."""
    with open_snapshot(state, name) as unit:
        snapshot = read_snapshot(unit)
    with tempfile.TemporaryDirectory() as folder:
        file = export_snapshot(snapshot, Path(folder) / f"coreset.{suffix}")
        return snapshot.id, file.read_bytes()
