"""A member of a group that dies before any operation on its files, or loses power there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.crashes.dying_members import (
    CYCLE,
    KILLED,
    LENGTH,
    NAMES,
    be_member,
    told,
    trained,
)

MANY = 80  # operations, at the least, of two claims, versions and snapshots, and a compaction


def deaths(begun: Path, work: Path) -> list[list[Any]]:
    """Return what each death leaves; see `tests.support.crashes.dying_members`."""
    command = [sys.executable, "-m", "tests.support.crashes.dying_members", str(begun), str(work)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_member_that_dies_anywhere_changes_nothing(tmp_path: Path) -> None:
    """By a kill or a power cut, while it claims, publishes, selects, merges or leaves.

    Who comes next counts the rest, once.
    """
    generation, begun, work = trained(), tmp_path / "begun", tmp_path / "work"
    work.mkdir()
    for term in range(2):
        be_member(begun / "state", generation, num_versions=1, term=term)
    undisturbed = tmp_path / "undisturbed"
    be_member(undisturbed, generation, num_versions=LENGTH // CYCLE, term=1)
    expected = told(undisturbed)
    *died, whole = deaths(begun, work)
    assert len(died) > MANY
    assert {code for code, *_ in died} == {KILLED}
    assert whole[0] == 0
    for number, (_, durable, went_on, found, left) in enumerate([*died, whole]):
        assert went_on == 0, f"death {number}"
        assert set(durable.values()) <= {2 * CYCLE, 3 * CYCLE, 4 * CYCLE}, f"death {number}"
        assert len(set(durable.values())) == 1, f"death {number}"
        assert (found, left) == (expected, []), f"death {number}"
    reached = [durable[NAMES[0]] for _, durable, *_ in died]
    for kind in (reached[::2], reached[1::2]):  # a power cut may go back one step
        assert kind == sorted(kind)
    assert set(reached) == {2 * CYCLE, 3 * CYCLE, 4 * CYCLE}
