"""JSON in pieces is the JSON of the json module."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pytest import MonkeyPatch

from echo_stream.connectors.storage import units as module
from echo_stream.connectors.storage.units import ITEMS_AT_ONCE, json_pieces

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    leaves | st.text(),
    lambda inner: (
        st.lists(inner, max_size=9)
        | st.dictionaries(st.text(), inner, max_size=5)
        | st.dictionaries(st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=40,
)


@given(values, st.booleans(), st.integers(1, 4))
def test_pieces_are_what_dumps_returns(value: Any, sort_keys: bool, at_once: int) -> None:
    """Whatever the value, and however long its lists are; indented it is the same value."""
    with MonkeyPatch.context() as patch:
        patch.setattr(module, "ITEMS_AT_ONCE", at_once)
        whole = "".join(json_pieces(value, sort_keys=sort_keys))
        indented = "".join(json_pieces(value, sort_keys=sort_keys, indent=2))
    assert whole == json.dumps(value, sort_keys=sort_keys)
    assert json.loads(indented) == json.loads(whole)


def test_no_piece_is_large() -> None:
    """A long list, deep inside, comes in many pieces."""
    value = {"engine": {"ids": [f"sample-{row}" for row in range(10 * ITEMS_AT_ONCE)]}}
    pieces = list(json_pieces(value, indent=2))
    assert len(pieces) > 10
    assert max(map(len, pieces)) < len("".join(pieces)) / 9
