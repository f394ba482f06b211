"""Records come one file of results after another, and none takes the place of more."""

from pathlib import Path

import pytest

from benchmarks.report.records import Record, merged, read_records, write_records
from echo_stream.errors import DataError


def group(name: str, trials: int, planned: int = 9) -> list[Record]:
    """Return the records of a group."""
    common = {"plan": "mine", "group": name}
    return [
        {"kind": "run", **common, "trials": trials, "planned": planned},
        {"kind": "cell", **common, "seeds": trials},
    ]


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    """One a line, in a folder that may not be there yet."""
    path = tmp_path / "new" / "records.jsonl"
    write_records(path, group("Bücher", 3))
    assert read_records(path) == group("Bücher", 3)
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    assert read_records(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("text", ["oh", "[]", '{"no": "kind"}'])
def test_a_line_that_is_no_record_is_named(tmp_path: Path, text: str) -> None:
    """With its file and its number."""
    path = tmp_path / "records.jsonl"
    path.write_text(f'{{"kind": "run"}}\n{text}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"records\.jsonl: line 2 is no record"):
        read_records(path)


def test_a_group_takes_its_own_place() -> None:
    """Others stay where they are, and new ones come at the end."""
    old = group("a", 3) + group("b", 3)
    found, remarks = merged(old, group("c", 1) + group("a", 4))
    assert found == group("a", 4) + group("b", 3) + group("c", 1)
    assert remarks == []
    assert merged(found, group("a", 4)) == (found, [])


def test_a_part_does_not_take_the_place_of_more() -> None:
    """Unless the plan does not have as many trials any more."""
    old = group("a", 6)
    found, remarks = merged(old, group("a", 4))
    assert (found, remarks) == (old, ["mine/a stays as it is, of 6; the results have 4"])
    assert merged(old, group("a", 4, planned=4)) == (group("a", 4, planned=4), [])


def test_a_ranking_over_more_cells_stays() -> None:
    """As a group of more trials does."""
    rank = {"kind": "rank", "plan": "mine", "ranking": "all", "planned": 5}
    found, remarks = merged([rank | {"cells": 5}], [rank | {"cells": 3}])
    assert found == [rank | {"cells": 5}]
    assert remarks == ["mine/all stays as it is, of 5; the results have 3"]
