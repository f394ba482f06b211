"""`echo-stream snapshots diff`."""

import csv
import io
from pathlib import Path

import pytest

from tests.support.commands import TINY, answer, refusal, run_command, units, write_data


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with snapshots at 100, 200 and 300 samples."""
    folder = tmp_path_factory.mktemp("diff")
    data = write_data(folder / "data.npz")
    answer("run", data, "--state", folder / "state", *TINY, "--warmup", 50, "--snapshot-every", 100)
    return folder / "state"


def test_two_and_the_newest_by_default(state: Path) -> None:
    """Named by id or by path; it is what SQL finds in the history."""
    first, second, third = units(state / "snapshots")
    found = answer("snapshots", "diff", first, second, "--state", state)
    assert (found["before"], found["after"]) == (first, second)
    assert answer("snapshots", "diff", first, "--state", state)["after"] == third
    paths = (state / "snapshots" / first, state / "snapshots" / second)
    assert answer("snapshots", "diff", *paths) == found
    sql = (
        "SELECT DISTINCT id FROM coreset_history WHERE snapshot_id = '{}' "
        "EXCEPT SELECT id FROM coreset_history WHERE snapshot_id = '{}' ORDER BY id"
    )
    entered = answer("query", sql.format(second, first), "--state", state)
    assert found["entered"] == [row["id"] for row in entered]


def test_by_one_thing(state: Path) -> None:
    """Rows for people and programs."""
    first = units(state / "snapshots")[0]
    found = answer("snapshots", "diff", first, "--state", state)
    for by in ("label", "role", "cell"):
        command = ("snapshots", "diff", first, "--state", state, "--by", by)
        assert answer(*command) == found[f"by_{by}"]
        table = run_command(*command, "--format", "table").stdout
        assert len([line for line in table.splitlines() if line.startswith("│")]) == len(
            found[f"by_{by}"]
        )
    result = run_command(
        "snapshots", "diff", first, "--state", state, "--by", "sample", "--format", "csv"
    )
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["id"] for row in rows if row["change"] == "entered"] == found["entered"]
    assert [row["id"] for row in rows if row["change"] == "left"] == found["left"]


def test_wrong_usage(state: Path) -> None:
    """A table needs rows, and what is compared must be there."""
    first = units(state / "snapshots")[0]
    line = refusal("snapshots", "diff", first, "--state", state, "--format", "csv", exit_code=2)
    assert "needs --by label, role, cell or sample" in line
    assert first in refusal("snapshots", "diff", "no", first, "--state", state, exit_code=4)
    assert "cannot read" in refusal("snapshots", "diff", first, exit_code=4)
