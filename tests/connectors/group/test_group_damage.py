"""Bytes of a group's state that have changed: never believed, nothing counted twice or lost."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echo_stream.connectors.group.claims import Claims
from echo_stream.connectors.group.segments import SegmentFolder
from echo_stream.connectors.storage.units import list_units
from echo_stream.errors import StateError
from echo_stream.generation.generation import Generation
from tests.support.commands import (
    answer,
    content,
    doctor_findings,
    doctor_verdict,
    refusal,
    run_command,
)
from tests.support.crashes.damage import damage, damages
from tests.support.crashes.dying_members import CYCLE, LENGTH, NAMES, be_member, ends, told, trained

MANIFEST = "manifest.json"
FILES = ("sketch.safetensors", MANIFEST)
ROUNDS = LENGTH // CYCLE
MANY = 9  # segments: nothing is merged


@pytest.fixture(scope="module")
def generation() -> Generation:
    """Return the group's generation."""
    return trained()


@pytest.fixture(scope="module")
def begun(generation: Generation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state of two segments, the second of which has two versions."""
    state = tmp_path_factory.mktemp("begun") / "state"
    be_member(state, generation, num_versions=1, term=1, above=MANY)
    be_member(state, generation, num_versions=2, term=2, above=MANY)
    return state


@pytest.fixture
def state(begun: Path, tmp_path: Path) -> Path:
    """Return a copy of the state, to be damaged."""
    return shutil.copytree(begun, tmp_path / "state")


def segments(state: Path) -> list[list[Path]]:
    """Return the versions of each segment, in the order in which they were begun."""
    found = [list_units(folder) for folder in (state / "segments").iterdir()]
    return sorted(found, key=lambda versions: versions[0].stat().st_mtime_ns)


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), how=damages)
def test_a_damaged_version_falls_back_on_the_one_before(
    begun: Path, generation: Generation, tmp_path: Path, name: str, how: tuple[str, float, int]
) -> None:
    """Whatever has changed, wherever: what it had more is read and counted again."""
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    state = shutil.copytree(begun, tmp_path / "state")
    assert set(ends(state).values()) == {3 * CYCLE}
    damage(segments(state)[-1][-1] / name, how)
    assert set(ends(state).values()) == {2 * CYCLE}
    be_member(state, generation, num_versions=ROUNDS, term=3)
    undisturbed = tmp_path / "undisturbed"
    if not undisturbed.exists():
        be_member(undisturbed, generation, num_versions=ROUNDS, term=1)
    assert told(state) == told(undisturbed)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(FILES), damages), min_size=2, max_size=2))
def test_a_segment_without_a_whole_version_is_refused(
    begun: Path, tmp_path: Path, how: list[tuple[str, tuple[str, float, int]]]
) -> None:
    """By every command that would use it: exit code 4, and nothing is touched."""
    shutil.rmtree(tmp_path / "state", ignore_errors=True)
    state = shutil.copytree(begun, tmp_path / "state")
    versions = segments(state)[-1]
    for unit, (name, each) in zip(versions, how, strict=True):
        damage(unit / name, each)
    before = content(state / "segments")
    with pytest.raises(
        StateError, match=f"all 2 versions of segment {versions[0].parent.name} are"
    ):
        ends(state)
    said = said_last("why", f"{NAMES[0]}-3", state)
    assert f"all 2 versions of segment {versions[0].parent.name} are damaged" in said
    assert "are damaged" in said_last("forget", f"{NAMES[0]}-3", state)
    assert content(state / "segments") == before


def test_the_doctor_looks_at_segments(state: Path) -> None:
    """All of them are verified, and it is told whether they go together."""
    found = doctor_findings("--state", state)
    assert found["lock"]["found"] == "shared by a group, of which 0 members are alive"
    whole = f"2 segments are undamaged and fit together, with {6 * (CYCLE - 1)} samples"
    assert doctor_verdict(found, "checkpoint") == ("ok", f"{whole}; ")
    (segments(state)[0][-1] / FILES[0]).write_bytes(b"")
    kind, said = doctor_verdict(doctor_findings("--state", state), "checkpoint")
    assert kind == "fail"
    assert "all 1 versions of segment" in said


def said_last(command: str, name: str, state: Path) -> str:
    """Return the line that refuses a command; those before it name the versions skipped."""
    result = run_command(command, name, "--state", state)
    assert (result.exit_code, result.stdout) == (4, "")
    *skipped, last = result.stderr.splitlines()
    assert all("version of a segment skipped" in line for line in skipped)
    return last


def test_a_gap_is_refused(state: Path, generation: Generation) -> None:
    """A version that others have gone on from is damaged: its offsets are named."""
    be_member(state, generation, num_versions=1, term=3, above=MANY)
    newest = segments(state)[-2][-1]
    (newest / FILES[0]).write_bytes(b"")
    said = said_last("why", f"{NAMES[0]}-3", state)
    assert f"offsets {2 * CYCLE} to {3 * CYCLE} of {NAMES[0]} are not counted" in said
    assert "put it back, or use another state" in said


def test_a_segment_that_was_half_removed_since_another_replaces_it(
    begun: Path, state: Path, generation: Generation
) -> None:
    """It does not count, and goes with the next one to look."""
    be_member(state, generation, num_versions=1, term=3)
    (first, *_), *_ = segments(begun)
    remains = shutil.copytree(first.parent, state / "segments" / first.parent.name)
    (remains / first.name / FILES[0]).unlink()
    assert set(ends(state).values()) == {4 * CYCLE}
    be_member(state, generation, num_versions=1, term=4)
    assert set(ends(state).values()) == {5 * CYCLE}
    assert not remains.exists()


def test_a_segment_that_is_put_back_twice_is_refused(state: Path) -> None:
    """What would be counted twice is refused, with its offsets."""
    folder = segments(state)[-1][0].parent
    shutil.copytree(folder, folder.with_name("copied"))
    said = said_last("why", f"{NAMES[0]}-3", state)
    assert f"offsets {CYCLE} to {3 * CYCLE} of {NAMES[0]} are counted twice" in said


def test_a_damaged_claim_is_refused_and_can_be_removed(state: Path, generation: Generation) -> None:
    """The line says what to do, and after that the group goes on where its segments end."""
    (claim,) = (state / "claims" / NAMES[0]).glob("*.json")
    claim.write_text("{")
    with pytest.raises(StateError, match=r"is damaged: .* stop all members and remove it"):
        be_member(state, generation, num_versions=1, term=3)
    assert f"{claim} is damaged" in refusal("status", "--state", state, exit_code=4)
    claim.unlink()
    be_member(state, generation, num_versions=1, term=3)
    assert set(ends(state).values()) == {4 * CYCLE}


def test_a_damaged_record_is_refused(state: Path) -> None:
    """Of what the members have agreed on nothing is guessed."""
    path = state / "group.json"
    path.write_text(path.read_text(encoding="utf-8").replace("counters", "others"))
    for command in (("why", "a"), ("status",), ("forget", "a")):
        assert f"{path} is damaged" in refusal(*command, "--state", state, exit_code=4)


def test_debris_of_the_dead_is_no_claim_and_no_segment(state: Path) -> None:
    """Half-written files are passed over."""
    (state / "claims" / NAMES[0] / ".tmp-1").write_text("{")
    (segments(state)[0][0].parent / ".tmp-1").mkdir()
    (state / "segments" / "empty").mkdir()
    assert set(ends(state).values()) == {3 * CYCLE}
    assert answer("status", "--state", state)["segments"] == len(
        SegmentFolder(state / "segments").read()
    )
    assert Claims(state / "claims").newest(NAMES[0]) is not None
