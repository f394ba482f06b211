"""Columns of messages are what a list of them would be."""

from hypothesis import given
from hypothesis import strategies as st

from echo_stream.connectors.codecs import Headers
from echo_stream.connectors.kafka.records import RECORD_BYTES, Records
from tests.support.kafka.records import Record

optional = st.none() | st.binary(max_size=3)
headers = st.lists(st.tuples(st.sampled_from("ab"), optional), max_size=2)
messages = st.lists(st.tuples(optional, optional, headers), max_size=6)
Message = tuple[bytes | None, bytes | None, Headers]


def columns(given: list[Message], first: int = 0) -> Records:
    """Return messages side by side, some of them as views."""
    records = Records.of(Record(*message, first + at) for at, message in enumerate(given))
    records.values[::2] = [value and memoryview(value) for value in records.values[::2]]
    return records


@given(messages, messages, st.integers(0, 6), st.integers(0, 6))
def test_columns_are_as_a_list(
    some: list[Message], others: list[Message], start: int, stop: int
) -> None:
    """Joined, cut, picked from and one by one; values are bytes then."""
    records = columns(some)
    records.extend(columns(others, len(some)))
    expected = [*some, *others]
    assert [(each.key, each.value, each.headers) for each in records] == expected
    assert records.offsets == list(range(len(expected)))
    assert [each.value for each in records[start:stop]] == [
        each[1] for each in expected[start:stop]
    ]
    places = list(range(len(expected)))[start:stop:2]
    assert list(records.picked(places)) == [records[place] for place in places]
    assert all(isinstance(each.value, (bytes, type(None))) for each in records)


@given(messages)
def test_sizes_are_of_keys_values_and_headers(given: list[Message]) -> None:
    """And of the objects around them."""
    records = columns(given)
    content = sum(len(key or b"") + len(value or b"") for key, value, _ in given)
    in_headers = sum(len(name) + len(value or b"") for *_, all in given for name, value in all)
    assert records.content_bytes == content
    assert records.num_bytes == content + in_headers + RECORD_BYTES * len(given)
