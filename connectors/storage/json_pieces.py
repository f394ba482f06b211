"""JSON in pieces, none of which keeps other threads waiting."""

import json
from collections.abc import Iterator
from typing import Any

ITEMS_AT_ONCE = 1_000


def json_pieces(value: Any, *, sort_keys: bool = False, indent: int | None = None) -> Iterator[str]:
    """Yield what `json.dumps` would return, a piece at a time. O(size).

    The json module writes a value in one call that holds the interpreter to its end, which
    of a large state is too long for the thread that counts. Its own way in pieces takes ten
    times as long.

    Parameters
    ----------
    value : object
        As `json.dumps` takes it; finite.
    sort_keys : bool
    indent : int, optional
        Each key of an object on a line of its own, with so many spaces more in each
        object. Lists stay on one line.

    Examples
    --------
    >>> print("".join(json_pieces({"b": [1, 2], "a": {"c": None}}, sort_keys=True, indent=2)))
    {
      "a": {
        "c": null
      },
      "b": [1, 2]
    }
    """
    yield from _pieces(value, sort_keys=sort_keys, indent=indent, depth=0)


def _pieces(value: Any, *, sort_keys: bool, indent: int | None, depth: int) -> Iterator[str]:
    """Yield a value that stands so deep in objects."""
    if isinstance(value, list) and len(value) > ITEMS_AT_ONCE:
        for start in range(0, len(value), ITEMS_AT_ONCE):
            items = _dumps(value[start : start + ITEMS_AT_ONCE], sort_keys=sort_keys)
            yield (", " if start else "[") + items[1:-1]
        yield "]"
    elif isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        between, end = (", ", "") if indent is None else _breaks(indent, depth)
        lead = "{" + between[1 if indent is not None else 2 :]
        for key in sorted(value) if sort_keys else value:
            yield f"{lead}{_dumps(key)}: "
            yield from _pieces(value[key], sort_keys=sort_keys, indent=indent, depth=depth + 1)
            lead = between
        yield end + "}"
    else:
        yield _dumps(value, sort_keys=sort_keys)


def _breaks(indent: int, depth: int) -> tuple[str, str]:
    """Return what stands between the entries of an object, and before its end."""
    return ",\n" + " " * indent * (depth + 1), "\n" + " " * indent * depth


def _dumps(value: Any, *, sort_keys: bool = False) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(value, sort_keys=sort_keys, allow_nan=False)
