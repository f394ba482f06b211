"""What two ways of counting the same samples must have in common."""

from echo_stream.snapshot import Snapshot


def assert_same_sums(ours: Snapshot, expected: Snapshot) -> None:
    """Check that N, cells, counts and centroids are the same, bit for bit."""
    assert ours.n == expected.n
    assert ours.cells.cells == expected.cells.cells
    assert ours.cells.counts.tolist() == expected.cells.counts.tolist()
    assert ours.cells.centroids.tobytes() == expected.cells.centroids.tobytes()


def assert_nothing_certified_is_wrong(ours: Snapshot, exact: Snapshot) -> None:
    """Check that each certified row, and there are many, is the exact coreset's."""
    rows, right = ours.rows, exact.rows
    expected = dict(zip(_places(exact), right.samples.ids.tolist(), strict=True))
    placed = zip(_places(ours), rows.samples.ids.tolist(), rows.certified, strict=True)
    certified = [(place, name) for place, name, is_certified in placed if is_certified]
    assert len(certified) > len(rows) // 2
    assert [(place, name) for place, name in certified if expected[place] != name] == []


def _places(snapshot: Snapshot) -> list[tuple[str, tuple[int, ...], int]]:
    """Return role, cell and rank of each row."""
    rows = snapshot.rows
    return list(zip(rows.roles.tolist(), rows.cells, rows.rounds.tolist(), strict=True))
