"""Pins and pruning, and reading while both go on."""

import subprocess
import sys
from pathlib import Path

import pytest

from echo_stream.connectors.storage.retention import pin_snapshot, prune_snapshots, unpin_snapshot
from echo_stream.connectors.storage.snapshot_files import read_snapshot, write_snapshot
from echo_stream.connectors.storage.snapshots import (
    describe_snapshots,
    list_snapshots,
    open_snapshot,
)
from echo_stream.errors import ConfigError, SnapshotError
from tests.support.clusters import snapshot_of

READS, WRITES, KEPT = 1_000, 50, 2

# Writes snapshots into a state, pruning all but the newest few after each; keeps pace with
# a reader, which asks for the next one by a line.
WRITER = """
import sys
from pathlib import Path
from echo_stream.connectors.storage.state_store import StateStore
from tests.support.clusters import snapshot_of

state, writes, kept = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
snapshots = [snapshot_of(20 + number) for number in range(writes)]
with StateStore(state, keep_snapshots=kept) as store:
    for number, snapshot in enumerate(snapshots):
        store.save_snapshot(snapshot, {"row": 20 + number})
        print(number, flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state with four snapshots, at 20 to 23 samples."""
    for n in range(20, 24):
        write_snapshot(
            snapshot_of(n), tmp_path / "snapshots" / snapshot_of(n).id, time=str(n), offsets={}
        )
    return tmp_path


def counts(state: Path) -> list[int]:
    """Return N of each snapshot, oldest first."""
    return [line["n"] for line in describe_snapshots(state)]


def test_newest_stay(state: Path) -> None:
    """All others go, and the report says which, and how many bytes."""
    units = list_snapshots(state)
    size = sum(file.stat().st_size for unit in units[:2] for file in unit.glob("*.parquet"))
    report = prune_snapshots(state, keep_newest=2)
    assert counts(state) == [22, 23]
    assert report.removed == [unit.name for unit in units[:2]]
    assert report.kept == [unit.name for unit in units[2:]]
    assert (report.pinned, report.in_use, report.freed_bytes) == ([], [], size)


def test_dry_run_says_the_same_and_does_nothing(state: Path) -> None:
    """But for the flag, the report is that of what would be done."""
    dry = prune_snapshots(state, keep_newest=1, dry_run=True)
    assert counts(state) == [20, 21, 22, 23]
    done = prune_snapshots(state, keep_newest=1)
    assert (dry.removed, dry.kept, dry.freed_bytes) == (done.removed, done.kept, done.freed_bytes)
    assert (dry.dry_run, done.dry_run) == (True, False)


def test_pinned_stay_until_they_are_not(state: Path) -> None:
    """A pin counts for what is older than the newest; a second one changes nothing."""
    first = list_snapshots(state)[0].name
    assert pin_snapshot(state, first) == pin_snapshot(state, first) == first
    assert [line["pinned"] for line in describe_snapshots(state)] == [True, False, False, False]
    assert prune_snapshots(state, keep_newest=1).pinned == [first]
    assert counts(state) == [20, 23]
    assert read_snapshot(state / "snapshots" / first).n == 20
    assert unpin_snapshot(state, first) == unpin_snapshot(state, first) == first
    assert prune_snapshots(state, keep_newest=1).removed == [first]
    assert counts(state) == [23]


def test_newest_is_pinned_by_default(state: Path) -> None:
    """Where none is named."""
    assert pin_snapshot(state, None) == list_snapshots(state)[-1].name


def test_what_is_read_stays(state: Path) -> None:
    """It goes the next time."""
    first = list_snapshots(state)[0].name
    with open_snapshot(state, first):
        assert prune_snapshots(state, keep_newest=1).in_use == [first]
        assert counts(state) == [20, 23]
    assert prune_snapshots(state, keep_newest=1).removed == [first]


def test_damaged_snapshot_is_left_alone(state: Path) -> None:
    """Nobody knows how old it is; and it is none of the newest."""
    newest = list_snapshots(state)[-1]
    (newest / "manifest.json").write_text("{}")
    prune_snapshots(state, keep_newest=1)
    assert counts(state) == [22]
    assert (newest / "coreset.parquet").exists()


@pytest.mark.parametrize("keep", [0, -1])
def test_newest_never_goes(state: Path, keep: int) -> None:
    """To keep none is refused."""
    with pytest.raises(ConfigError, match=f"keep_newest must be at least 1; got {keep}"):
        prune_snapshots(state, keep_newest=keep)
    assert len(counts(state)) == 4


def test_no_state(tmp_path: Path) -> None:
    """There is nothing to prune or pin."""
    with pytest.raises(SnapshotError, match="there is no state at"):
        prune_snapshots(tmp_path / "nothing", keep_newest=1)
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(SnapshotError, match="holds no snapshot yet"):
        pin_snapshot(tmp_path, None)


@pytest.mark.slow
def test_reading_while_a_consumer_writes_and_prunes(tmp_path: Path) -> None:
    """A thousand reads while 50 snapshots come and go: no error, and each one whole."""
    state = tmp_path / "state"
    command = [sys.executable, "-c", WRITER, str(state), str(WRITES), str(KEPT)]
    reads, seen = 0, set()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for number in range(WRITES):
            assert writer.stdout.readline() == f"{number}\n"
            # The next one is written, and an old one removed, while these reads go on.
            writer.stdin.write("\n")
            writer.stdin.flush()
            for _ in range(READS // WRITES):
                with open_snapshot(state, None) as unit:
                    read = read_snapshot(unit)  # checks every checksum
                assert (read.id, len(read.rows)) == (unit.name, 8)
                assert read.rows.weights.sum() == pytest.approx(read.n, rel=1e-12)
                reads += 1
                seen.add(read.n)
        writer.stdin.close()
        assert writer.wait() == 0
    assert reads == READS
    assert len(seen) > WRITES // 4
    assert len(list_snapshots(state)) <= KEPT + 1
