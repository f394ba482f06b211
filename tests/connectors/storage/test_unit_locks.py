"""Units that are read stay; units that nobody reads can go, and nobody sees half of one."""

import subprocess
import sys
from pathlib import Path

import pytest

from echo_stream.connectors.storage.unit_locks import read_lock, remove_unit
from echo_stream.connectors.storage.units import list_units, remove_leftovers, write_unit
from echo_stream.errors import StateError

# Reads a unit until it is killed.
READER = """
import sys, time
from pathlib import Path
from echo_stream.connectors.storage.unit_locks import read_lock

with read_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a unit of one file."""
    write_unit(tmp_path / "unit", {"a": Path.touch}, {"n": 1})
    return tmp_path / "unit"


def test_unit_that_nobody_reads_is_removed(unit: Path) -> None:
    """Nothing is left of it, and once more is no error."""
    assert remove_unit(unit)
    assert list(unit.parent.iterdir()) == []
    assert remove_unit(unit)


def test_unit_that_is_read_stays(unit: Path) -> None:
    """Several may read it at once; the last one to end frees it."""
    with read_lock(unit):
        with read_lock(unit):
            assert not remove_unit(unit)
        assert not remove_unit(unit)
        assert [path.name for path in list_units(unit.parent)] == ["unit"]
    assert remove_unit(unit)


def test_reader_that_is_killed_frees_its_unit(unit: Path) -> None:
    """Its lock goes with its process."""
    command = [sys.executable, "-c", READER, str(unit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"held\n"
        assert not remove_unit(unit)
        reader.kill()
        reader.wait()
    assert remove_unit(unit)


def test_what_is_kept_is_asked_last(unit: Path) -> None:
    """A mark that was made until then counts."""
    assert not remove_unit(unit, is_kept=lambda path: path == unit)
    assert unit.is_dir()
    assert remove_unit(unit, is_kept=lambda _: False)


def test_unit_that_is_not_there(tmp_path: Path) -> None:
    """There is nothing to hold, in a file's place neither."""
    (tmp_path / "file").write_text("mine")
    for name in ("nothing", "file"):
        with pytest.raises(StateError, match=f"cannot read .*{name}: "), read_lock(tmp_path / name):
            pass


def test_other_unit_of_the_same_name(unit: Path) -> None:
    """Whoever opened the old one hears that it has gone, and does not read the new one."""
    doomed = unit.with_name(".tmp-unit-1")
    with read_lock(unit):
        unit.rename(doomed)
        write_unit(unit, {}, {"n": 2})
        assert remove_unit(unit)
    assert doomed.is_dir()
    remove_leftovers(unit.parent)
    assert list(unit.parent.iterdir()) == []
