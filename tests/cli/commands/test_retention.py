"""`echo-stream snapshots verify`, `pin`, `unpin` and `prune`, and `run --keep-snapshots`."""

from pathlib import Path

import pytest

from tests.support.commands import TINY, answer, refusal, run_command, units, write_data


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state with snapshots at 100, 200 and 300 samples."""
    data = write_data(tmp_path / "data.npz")
    answer(
        "run", data, "--state", tmp_path / "state", *TINY, "--warmup", 50, "--snapshot-every", 100
    )
    return tmp_path / "state"


def test_pin_prune_unpin(state: Path) -> None:
    """What is pinned and the newest stay; a dry run removes nothing."""
    first, second, third = units(state / "snapshots")
    pinned = answer("snapshots", "pin", "--state", state, "--snapshot", first)
    assert pinned == {"snapshot": first, "pinned": True}
    listed = answer("snapshots", "list", "--state", state)
    assert [line["pinned"] for line in listed] == [True, False, False]
    dry = answer("snapshots", "prune", "--state", state, "--keep-newest", 1, "--dry-run")
    assert units(state / "snapshots") == [first, second, third]
    done = answer("snapshots", "prune", "--state", state, "--keep-newest", 1)
    assert done == {**dry, "dry_run": False}
    assert (done["removed"], done["kept"], done["pinned"]) == ([second], [first, third], [first])
    assert units(state / "snapshots") == [first, third]
    unpinned = answer("snapshots", "unpin", "--state", state, "--snapshot", first)
    assert unpinned == {"snapshot": first, "pinned": False}
    assert answer("snapshots", "prune", "--state", state, "--keep-newest", 1)["removed"] == [first]


@pytest.mark.parametrize("keep", [(), ("--keep-newest", 0)])
def test_prune_that_would_keep_nothing(state: Path, keep: tuple[object, ...]) -> None:
    """The number must be given, and be at least one."""
    refusal("snapshots", "prune", "--state", state, *keep, exit_code=2)
    assert len(units(state / "snapshots")) == 3


def test_verify_names_the_damaged(state: Path) -> None:
    """Each has its line, and one changed byte is found; so it is when asked for by id."""
    first, second, third = units(state / "snapshots")
    whole = answer("snapshots", "verify", "--state", state)
    assert whole == [
        {"snapshot": name, "intact": True, "problem": None} for name in (first, second, third)
    ]
    file = state / "snapshots" / second / "cells.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (state / "snapshots" / third / "manifest.json").write_text("{}")
    result = run_command("snapshots", "verify", "--state", state)
    assert result.exit_code == 4
    assert [line["intact"] for line in result.json()] == [True, False, False]
    assert "cells.parquet is damaged" in result.json()[1]["problem"]
    assert "manifest.json is damaged" in result.json()[2]["problem"]
    assert result.stderr == f"Error: 2 of 3 snapshots are damaged: {second}, {third}\n"
    for name, exit_code in ((first, 0), (second, 4), (third, 4)):
        one = run_command("snapshots", "verify", "--state", state, "--snapshot", name)
        assert (one.exit_code, len(one.json())) == (exit_code, 1)


def test_verify_of_what_is_not_there(state: Path, tmp_path: Path) -> None:
    """It is told with the snapshots to choose from."""
    line = refusal("snapshots", "verify", "--state", state, "--snapshot", "nope", exit_code=4)
    assert units(state / "snapshots")[0] in line
    refusal("snapshots", "verify", "--snapshot", tmp_path / "nothing", exit_code=4)
    refusal("snapshots", "verify", exit_code=2)


def test_run_keeps_as_many_as_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By flag or by variable; without, all stay."""
    data = write_data(tmp_path / "data.npz")
    often = (*TINY, "--warmup", 50, "--snapshot-every", 50)
    for name, options, kept in (
        ("all", (), 6),
        ("two", ("--keep-snapshots", 2), 2),
    ):
        report = answer("run", data, "--state", tmp_path / name, *often, *options)
        assert units(tmp_path / name / "snapshots") == report["snapshots"][-kept:]
    monkeypatch.setenv("ECHO_STREAM_KEEP_SNAPSHOTS", "1")
    report = answer("run", data, "--state", tmp_path / "one", *often)
    assert units(tmp_path / "one" / "snapshots") == report["snapshots"][-1:]
