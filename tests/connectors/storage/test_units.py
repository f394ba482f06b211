"""Units: whole or not there, whenever the writer dies, and damage never goes unseen."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from echo_stream.connectors.storage.units import (
    MANIFEST,
    TEMPORARY_PREFIX,
    check_free,
    list_units,
    read_manifest,
    remove_leftovers,
    verify_unit,
    write_unit,
)
from echo_stream.errors import InfrastructureError, StateError
from tests.support.crashes.disks import full_disk

CONTENT = {"first.bin": b"\x00\x01\x02\x03", "second.txt": "zwölf".encode(), "empty": b""}
KILLED = 9

# Writes a unit, but dies at the moment given: before the nth operation on the file system.
DYING_WRITER = f"""
import os, sys
from pathlib import Path
from echo_stream.connectors.storage.units import write_unit

destination, left = Path(sys.argv[1]), int(sys.argv[2])

def die(event, _):
    global left
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        left -= 1
        if left < 0:
            os._exit({KILLED})

files = {{name: lambda path: path.write_bytes(b"x" * 1_000) for name in ("a", "b")}}
sys.addaudithook(die)
write_unit(destination, files, {{"n": 3}})
"""

# Writes half a file, then dies.
DYING_FILE = f"""
import os, sys
from pathlib import Path
from echo_stream.connectors.storage.units import write_unit

def half(path):
    with path.open("wb", buffering=0) as file:
        file.write(b"x" * 500)
        os._exit({KILLED})

whole = lambda path: path.write_bytes(b"x" * 1_000)
write_unit(Path(sys.argv[1]), {{"a": whole, "b": half, "c": whole}}, {{}})
"""

# Gives up root's rights, before which no folder is closed, and writes.
POWERLESS_WRITER = """
import os, sys
from pathlib import Path
from echo_stream.connectors.storage.units import write_unit
from echo_stream.errors import StateError

if os.getuid() == 0:
    os.setuid(65534)
try:
    write_unit(Path(sys.argv[1]), {}, {})
except StateError as err:
    print(err)
"""


def writer(content: bytes) -> Callable[[Path], None]:
    """Return what writes a file with some content."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def write(
    destination: Path,
    content: Mapping[str, bytes] = CONTENT,
    manifest: Mapping[str, object] | None = None,
) -> Path:
    """Write a unit of files with some content, and return its folder."""
    files = {name: writer(data) for name, data in content.items()}
    write_unit(destination, files, manifest or {"n": 3})
    return destination


def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_unit_holds_files_and_a_manifest_of_them(tmp_path: Path) -> None:
    """Each file is as its writer left it; the manifest has its size and SHA-256."""
    unit = write(tmp_path / "unit", manifest={"n": 3, "words": "zwölf"})
    assert {path.name for path in unit.iterdir()} == {*CONTENT, MANIFEST}
    assert {name: (unit / name).read_bytes() for name in CONTENT} == CONTENT
    written = {
        "n": 3,
        "words": "zwölf",
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in CONTENT.items()
        },
    }
    digest = hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()
    stored = json.loads((unit / MANIFEST).read_text("utf-8"))
    assert stored == {**written, "sha256": digest}
    assert read_manifest(unit) == written


def test_whole_unit_is_verified(tmp_path: Path) -> None:
    """What was written passes, and its manifest comes back."""
    unit = write(tmp_path / "unit")
    assert verify_unit(unit) == read_manifest(unit)
    assert verify_unit(unit)["n"] == 3


def test_unit_without_files(tmp_path: Path) -> None:
    """A manifest alone is a unit."""
    unit = write(tmp_path / "unit", {})
    assert verify_unit(unit)["files"] == {}


def test_parents_are_created(tmp_path: Path) -> None:
    """The first unit of its kind needs no preparation."""
    destination = tmp_path / "state" / "units" / "unit"
    assert list_units(write(destination).parent) == [destination]


def test_manifest_may_have_another_name(tmp_path: Path) -> None:
    """Every function goes by the name that the unit was written with."""
    destination = tmp_path / "unit"
    write_unit(destination, {"a": writer(b"1")}, {"n": 3}, manifest_name="other.json")
    assert verify_unit(destination, manifest_name="other.json")["n"] == 3
    assert list_units(tmp_path, manifest_name="other.json") == [destination]
    assert list_units(tmp_path) == []
    with pytest.raises(StateError, match=r"cannot read .*manifest\.json"):
        verify_unit(destination)


@pytest.mark.parametrize(
    "error", [OSError("no luck"), RuntimeError("no luck"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("position", range(3))
def test_failing_writer_leaves_nothing(tmp_path: Path, position: int, error: BaseException) -> None:
    """Whichever file fails, whatever it had written: there is no unit, and no debris."""

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    writers = [writer(data) for data in CONTENT.values()]
    writers[position] = fail
    expected = StateError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_unit(tmp_path / "unit", dict(zip(CONTENT, writers, strict=True)), {})
    assert list(tmp_path.iterdir()) == []
    assert verify_unit(write(tmp_path / "unit"))


@pytest.mark.parametrize("manifest", [{"n": float("nan")}, {"n": object()}])
def test_manifest_that_is_no_json_leaves_nothing(
    tmp_path: Path, manifest: Mapping[str, object]
) -> None:
    """A caller's mistake is raised, not written."""
    with pytest.raises((TypeError, ValueError)):
        write(tmp_path / "unit", manifest=manifest)
    assert list(tmp_path.iterdir()) == []


def test_writer_that_writes_nothing(tmp_path: Path) -> None:
    """A file that is not there cannot be listed: there is no unit."""
    with pytest.raises(StateError, match="No such file"):
        write_unit(tmp_path / "unit", {"a": lambda _: None}, {})
    assert list(tmp_path.iterdir()) == []


def test_killed_writer_leaves_no_unit_or_a_whole_one(tmp_path: Path) -> None:
    """A process that dies at any operation on the file system never leaves half a unit."""
    whole = []
    for moment in range(100):
        parent = tmp_path / str(moment)
        died = run_script(DYING_WRITER, parent / "unit", moment).returncode == KILLED
        units = list_units(parent)
        assert [verify_unit(unit)["n"] for unit in units] in ([], [3])
        whole.append(bool(units))
        remove_leftovers(parent)
        assert sorted(parent.glob("*")) == units
        if not died:
            break
    assert not died
    # First never, then always; the writer outlives the rename.
    assert whole == sorted(whole)
    assert whole.index(True) >= 8
    assert len(whole) - whole.index(True) >= 2


def test_killed_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """What has been written of it is debris under a temporary name, and is removed."""
    assert run_script(DYING_FILE, tmp_path / "unit").returncode == KILLED
    (leftover,) = tmp_path.iterdir()
    assert leftover.name.startswith(TEMPORARY_PREFIX)
    assert {path.name: path.stat().st_size for path in leftover.iterdir()} == {"a": 1_000, "b": 500}
    assert list_units(tmp_path) == []
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert verify_unit(write(tmp_path / "unit"))


def test_everything_is_flushed_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, manifest and folder are durable first, then the name is, in the parent."""
    destination, flushed, fsync = tmp_path / "unit", [], os.fsync

    def spy(handle: int) -> None:
        flushed.append((os.fstat(handle).st_ino, destination.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    write(destination)
    parent = tmp_path.stat().st_ino
    before = {inode for inode, exists in flushed if not exists} - {parent}
    assert before == {path.stat().st_ino for path in (destination, *destination.iterdir())}
    assert (parent, True) in flushed


def put_file(destination: Path) -> None:
    """Put a file where a unit is to be written."""
    destination.write_text("mine")


@pytest.mark.parametrize("put", [write, put_file, Path.mkdir])
def test_destination_in_the_way_is_kept(tmp_path: Path, put: Callable[[Path], object]) -> None:
    """Nothing is overwritten: no unit, no file, not even an empty folder."""
    destination = tmp_path / "unit"
    put(destination)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    for attempt in (check_free, lambda path: write(path, {"other": b"2"})):
        with pytest.raises(StateError, match="unit already exists; remove it or give another path"):
            attempt(destination)
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_free_destination(tmp_path: Path) -> None:
    """Where nothing is, a unit may be written."""
    check_free(tmp_path / "unit")
    check_free(tmp_path / "no" / "folder" / "unit")


def flip(path: Path) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Cut off the last byte."""
    path.write_bytes(path.read_bytes()[:-1])


def extend(path: Path) -> None:
    """Append a byte."""
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    """Leave the name only."""
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, extend, empty])
@pytest.mark.parametrize("name", ["first.bin", "second.txt"])
def test_damaged_file_is_found(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    """One bit is enough, and the message names the file."""
    unit = write(tmp_path / "unit")
    damage(unit / name)
    with pytest.raises(StateError, match=f"{name} is damaged: its checksum is not the one"):
        verify_unit(unit)


def test_missing_file_is_found(tmp_path: Path) -> None:
    """Gone, or a folder instead: the message names the file."""
    unit = write(tmp_path / "unit")
    (unit / "second.txt").unlink()
    with pytest.raises(StateError, match=r"second\.txt is missing"):
        verify_unit(unit)
    (unit / "second.txt").mkdir()
    with pytest.raises(StateError, match=r"second\.txt is missing"):
        verify_unit(unit)


def test_swapped_files_are_found(tmp_path: Path) -> None:
    """A checksum belongs to a name."""
    unit = write(tmp_path / "unit", {"a": b"12", "b": b"21"})
    (unit / "a").write_bytes(b"21")
    (unit / "b").write_bytes(b"12")
    with pytest.raises(StateError, match="a is damaged"):
        verify_unit(unit)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is damaged: it is not JSON"),
        (b'{"files": {', "is damaged: it is not JSON"),
        (b'{"files": {}}\xff', "is damaged: it is not JSON"),
        (b"\0" * 300, "is damaged: it is not JSON"),
        (b"[]", "is damaged: it lists no files"),
        (b"null", "is damaged: it lists no files"),
        (b'"files"', "is damaged: it lists no files"),
        (b"{}", "is damaged: it lists no files"),
        (b'{"files": ["first.bin"]}', "is damaged: it lists no files"),
    ],
)
def test_damaged_manifest_is_found(tmp_path: Path, content: bytes, words: str) -> None:
    """Whatever has become of it, the error is ours, of one line, and names the file."""
    unit = write(tmp_path / "unit")
    (unit / MANIFEST).write_bytes(content)
    for read in (read_manifest, verify_unit):
        with pytest.raises(StateError, match=words) as caught:
            read(unit)
        assert str(caught.value).startswith(str(unit / MANIFEST))
        assert len(str(caught.value).splitlines()) == 1


def test_no_unit_at_all(tmp_path: Path) -> None:
    """Neither a missing folder nor an empty one is read."""
    (tmp_path / "empty").mkdir()
    for name in ("nothing", "empty"):
        with pytest.raises(StateError, match=rf"cannot read .*{name}/manifest\.json: No such file"):
            read_manifest(tmp_path / name)


def test_units_are_listed_by_name(tmp_path: Path) -> None:
    """Not in order of writing, and nothing but units."""
    for name in ("b", "c", "a", "10", "9"):
        write(tmp_path / name)
    (tmp_path / "file").write_text("no unit")
    (tmp_path / "folder").mkdir()
    write(tmp_path / "whole").rename(tmp_path / f"{TEMPORARY_PREFIX}half")
    assert [unit.name for unit in list_units(tmp_path)] == ["10", "9", "a", "b", "c"]


def test_no_folder_holds_no_units(tmp_path: Path) -> None:
    """Before the first unit there is no parent either."""
    put_file(tmp_path / "file")
    assert list_units(tmp_path / "nothing") == list_units(tmp_path / "file") == []
    remove_leftovers(tmp_path / "nothing")
    remove_leftovers(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    """Units and foreign files stay."""
    unit, foreign = write(tmp_path / "unit"), tmp_path / "notes.txt"
    foreign.write_text("mine")
    write(tmp_path / "gone").rename(tmp_path / f"{TEMPORARY_PREFIX}gone")
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([unit, foreign])
    assert verify_unit(unit)


def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    """No permission is an error of ours, with the folder in it."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    said = run_script(POWERLESS_WRITER, closed / "unit").stdout
    assert said.startswith(f"cannot write {closed / 'unit'}: Permission denied; free space")
    assert list(closed.iterdir()) == []


def test_parent_that_is_a_file(tmp_path: Path) -> None:
    """A path through a file is no folder."""
    put_file(tmp_path / "file")
    with pytest.raises(StateError, match=r"cannot write .*: Not a directory; .* another folder"):
        write(tmp_path / "file" / "unit")


# The second file does not fit, or only the manifest does not.
@pytest.mark.parametrize("size", [1_000, 10])
def test_full_disk(tmp_path: Path, size: int) -> None:
    """A unit that does not fit is none, leaves nothing, and fits when there is space again."""
    content = {"a": b"x" * 10, "b": b"x" * size}
    with (
        full_disk(100),
        pytest.raises(InfrastructureError, match=r"cannot write .*: File too large; "),
    ):
        write(tmp_path / "unit", content)
    assert list(tmp_path.iterdir()) == []
    assert verify_unit(write(tmp_path / "unit", content))
