"""Pages of a snapshot's tables as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import pyarrow as pa
from pydantic import BaseModel

from echo_stream.connectors.http.snapshot_views import SnapshotView
from echo_stream.errors import ConfigError

MAX_ROWS = 1_000
_MAX_VALUES = 1_000_000  # of payloads in one page
_MAX_PAGES = 32  # of each snapshot, that are kept as they were answered

Part: TypeAlias = Literal["coreset", "cells", "edges"]


class Page(BaseModel):
    """Some rows of a table; `snapshot` goes with the request for the next ones."""

    snapshot: str
    total: int
    offset: int
    limit: int
    rows: list[dict[str, Any]]


def page_of(
    view: SnapshotView,
    part: Part,
    offset: int,
    limit: int,
    *,
    chosen: Mapping[str, str] | None = None,
    has_payloads: bool = False,
) -> bytes:
    """Return a page of a table as JSON.

    Parameters
    ----------
    view : SnapshotView
    part : str
    offset, limit : int
    chosen : mapping, optional
        Text that role, label or cell of a row of the coreset must have.
    has_payloads : bool
        Whether rows have x, in lists.

    Raises
    ------
    ConfigError
        If the payloads of so many rows are too many values.
    """
    key = (part, offset, limit, tuple(sorted((chosen or {}).items())))
    kept = None if has_payloads else view.pages.get(key)  # another thread may drop it
    if kept is not None:
        return kept
    rows, total = _rows(view, part, offset, limit, chosen or {})
    found = view.tables[part].take(pa.array(rows, pa.int64())).to_pylist()
    if has_payloads:
        _add_payloads(view, rows, found)
    page = Page(snapshot=view.id, total=total, offset=offset, limit=limit, rows=found)
    content = json.dumps(page.model_dump(), separators=(",", ":"), allow_nan=False).encode()
    if not has_payloads:
        view.pages[key] = content
        while len(view.pages) > _MAX_PAGES:
            view.pages.popitem(last=False)
    return content


def _rows(
    view: SnapshotView, part: Part, offset: int, limit: int, chosen: Mapping[str, str]
) -> tuple[list[int], int]:
    """Return the rows of a page, and how many there are in all pages."""
    total = view.tables[part].num_rows
    if not chosen:
        return list(range(min(offset, total), min(offset + limit, total))), total
    fitting: Sequence[int] = range(total)
    for name, text in chosen.items():
        column = view.keys[name]
        fitting = [row for row in fitting if column[row] == text]
    return list(fitting[offset : offset + limit]), len(fitting)


def _add_payloads(view: SnapshotView, rows: Sequence[int], found: list[dict[str, Any]]) -> None:
    """Give rows their payloads."""
    num_values = sum(view.vector(row).size for row in rows[:1]) * len(rows)
    if num_values > _MAX_VALUES:
        msg = (
            f"limit is too large: a page has at most {_MAX_VALUES:,} values of x; "
            f"got {num_values:,}"
        )
        raise ConfigError(msg)
    for row, one in zip(rows, found, strict=True):
        one["x"] = view.vector(row).tolist()
