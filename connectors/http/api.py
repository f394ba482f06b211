"""The snapshots of a state over HTTP: lists, tables in pages, and what changed."""

import threading
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response

from echo_stream.connectors.http.paging import MAX_ROWS, Page, Part, page_of
from echo_stream.connectors.http.snapshot_views import NEWEST, SnapshotViews
from echo_stream.connectors.inspect.why import why_sample
from echo_stream.connectors.storage.snapshot_files import diff_snapshots
from echo_stream.connectors.storage.snapshots import describe

PREFIX = "/api/v1"
_DEFAULT_ROWS = 100
_MAX_ROW = 2**31 - 1
REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such snapshot or sample."},
    409: {"description": "The state has not come so far, or cannot be read."},
    422: {"description": "A parameter is wrong."},
}

SnapshotName = Annotated[str, Query(description="Id of a snapshot, or `newest`.", max_length=200)]
SampleId = Annotated[str, Query(alias="id", description="Id of a sample.", max_length=10_000)]
_Offset = Annotated[int, Query(ge=0, le=_MAX_ROW, description="Rows to skip.")]
_Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="Rows of a page.")]


def api_router(views: SnapshotViews, *, features: str | None = None) -> APIRouter:
    """Return the routes over the snapshots of a state, below `/api/v1`.

    Parameters
    ----------
    views : SnapshotViews
    features : str, optional
        As the state was begun with; asked why a sample is there.
    """
    router = APIRouter(prefix=PREFIX, tags=["snapshots"], responses=REFUSALS)
    _add_snapshots(router, views)
    _add_tables(router, views)
    _add_answers(router, views, features)
    return router


def _add_snapshots(router: APIRouter, views: SnapshotViews) -> None:
    """Add what there is to know of whole snapshots."""

    @router.get("/snapshots", summary="The snapshots that there are, newest first")
    def snapshots(offset: _Offset = 0, limit: _Limit = _DEFAULT_ROWS) -> dict[str, Any]:
        found = list(reversed(views.manifests().items()))
        page = found[offset : offset + limit]
        rows = [describe(views.unit(name), manifest) for name, manifest in page]
        return {"total": len(found), "offset": offset, "limit": limit, "rows": rows}

    @router.get("/snapshots/{name}", summary="The manifest of a snapshot, or of the `newest`")
    def snapshot(name: Annotated[str, Path(max_length=200)]) -> dict[str, Any]:
        return views.find(name)


def _add_tables(router: APIRouter, views: SnapshotViews) -> None:
    """Add the three tables, in pages."""

    @router.get("/coreset", summary="Rows of a coreset", response_model=Page)
    def coreset(
        snapshot: SnapshotName = NEWEST,
        offset: _Offset = 0,
        limit: _Limit = _DEFAULT_ROWS,
        role: Literal["core", "support"] | None = None,
        label: Annotated[str | None, Query(description="`null`: unknown.")] = None,
        cell: Annotated[str | None, Query(description="Such as 3,4.")] = None,
        x: Annotated[bool, Query(description="Whether rows have their payload.")] = False,
    ) -> Response:
        asked = {"role": role, "label": label, "cell": cell}
        chosen = {name: text for name, text in asked.items() if text is not None}
        view = views.view(snapshot)
        return _json(page_of(view, "coreset", offset, limit, chosen=chosen, has_payloads=x))

    def add(part: Part, summary: str) -> None:
        @router.get(f"/{part}", summary=summary, response_model=Page, name=part)
        def table(
            snapshot: SnapshotName = NEWEST, offset: _Offset = 0, limit: _Limit = _DEFAULT_ROWS
        ) -> Response:
            return _json(page_of(views.view(snapshot), part, offset, limit))

    add("cells", "Occupied cells of a snapshot")
    add("edges", "Edges of its graph")


def _add_answers(router: APIRouter, views: SnapshotViews, features: str | None) -> None:
    """Add what takes a moment to answer."""
    one_at_a_time = threading.Lock()  # a run beside us needs the processor

    @router.get("/diff", summary="What came and went between two snapshots")
    def diff(before: SnapshotName, after: SnapshotName = NEWEST) -> dict[str, Any]:
        first, second = str(views.find(before)["id"]), views.known(after)
        with one_at_a_time:
            return diff_snapshots(views.state, first, second)

    @router.get("/why", summary="Why a sample is in the coreset, or is not")
    def why(sample_id: SampleId) -> dict[str, Any]:
        with one_at_a_time:
            return why_sample(views.state, sample_id, features=features, device="cpu")


def _json(content: bytes) -> Response:
    """Return an answer that is JSON already."""
    return Response(content, media_type="application/json")
