"""`--group` on the command line: what it is refused with, and what it refuses."""

from contextlib import closing
from pathlib import Path

import pytest

from echo_stream import EngineConfig
from echo_stream.connectors.group.state import GroupState
from tests.support.commands import TINY, TOPIC, answer, refusal, write_data


def test_a_group_is_for_topics(tmp_path: Path) -> None:
    """A file is read by one process."""
    data = write_data(tmp_path / "data.npz")
    said = refusal("run", data, "--group", "counters", "--state", tmp_path / "state", exit_code=2)
    assert "--group shares out the partitions of topics" in said


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (("--preset", "fixed", "--auto-regenerate"), "a group counts with one generation"),
        (("--on-duplicate", "replace"), "may be in the segment of another member"),
    ],
)
def test_what_needs_all_segments_at_once_is_refused(
    option: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    """Options that a group cannot keep are wrong usage, before a broker is asked."""
    said = refusal("run", *TOPIC, "--state", tmp_path / "state", *option, exit_code=2)
    assert reason in said
    assert not (tmp_path / "state").exists()


def test_a_run_without_a_group_leaves_its_state_alone(tmp_path: Path) -> None:
    """It is told the group's name, whether a member is running or not."""
    with closing(GroupState(tmp_path / "state", "counters")) as state:
        state.begin(EngineConfig(budget=20), {"kind": "test"}, lambda: {"events/0": 0}, None)
    data = write_data(tmp_path / "data.npz")
    said = refusal("run", data, "--state", tmp_path / "state", *TINY, exit_code=4)
    assert "shared by group counters; set --group to counters" in said


def test_the_status_passes_over_files_that_come_and_go(tmp_path: Path) -> None:
    """One may be gone between the listing and the reading; one that is being written is half."""
    with closing(GroupState(tmp_path / "state", "counters")) as state:
        state.begin(EngineConfig(budget=20), {"kind": "test"}, lambda: {"events/0": 0}, None)
        state.status_file.symlink_to(tmp_path / "nowhere")
        state.status_file.with_name(".tmp-half.json").write_text("{", encoding="utf-8")
        status = answer("status", "--state", tmp_path / "state")
    assert (status["liveness"], status["members"]) == ("never", [])
