"""Queries that outstay their time or take too much memory."""

from queue import Queue

import pytest

from echo_stream.connectors.inspect import query as query_guard
from echo_stream.connectors.inspect.query import guarded
from echo_stream.errors import QueryError

LIMIT_S = 20


@pytest.mark.parametrize(
    ("timeout_s", "memory_bytes", "words"),
    [(0.01, 2**60, "it took longer than 0.01 s"), (1_000, 1, "it took more than 0 GB")],
)
def test_what_takes_too_much_is_ended(
    monkeypatch: pytest.MonkeyPatch, timeout_s: float, memory_bytes: int, words: str
) -> None:
    """Whoever guards is told what to say, once, while the block goes on."""
    monkeypatch.setattr(query_guard, "GRACE_S", 0.0)
    monkeypatch.setattr(query_guard, "MEMORY_BYTES", memory_bytes)
    told: Queue[QueryError] = Queue()
    with guarded(timeout_s, told.put):
        assert f"the query failed: {words}" in str(told.get(timeout=LIMIT_S))
    assert told.empty()


def test_what_ends_by_itself_is_left_alone() -> None:
    """Nobody is told anything."""
    told: Queue[QueryError] = Queue()
    with guarded(1_000, told.put):
        pass
    assert told.empty()
