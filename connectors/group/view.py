"""Read access to what the members of a group have agreed on and counted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echo_stream.connectors.group.claims import Claim, Claims
from echo_stream.connectors.group.offset_ranges import ends_of, union
from echo_stream.connectors.group.record import GroupRecord
from echo_stream.connectors.group.segments import Segment, SegmentFolder
from echo_stream.connectors.storage.state_locks import short_lock
from echo_stream.errors import StateError


class GroupView:
    """Read access to the state of a group, beside its members.

    Parameters
    ----------
    folder : Path
    is_quick : bool
        Check only the manifests of segments.

    Attributes
    ----------
    segments : SegmentFolder
    claims : Claims
    """

    def __init__(self, folder: Path, *, is_quick: bool = False) -> None:
        self.folder = folder
        self.segments = SegmentFolder(folder / "segments", is_quick=is_quick)
        self.claims = Claims(folder / "claims")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the state against changes by others within the block; keep it short."""
        with short_lock(self.folder / "group.lock"):
            yield

    def record(self) -> GroupRecord:
        """Return what the members have agreed on.

        Raises
        ------
        StateError
            If the group has not begun.
        """
        found = GroupRecord.read(self.folder)
        if found is None:
            msg = f"{self.folder} has no group yet; `run --group NAME` begins one"
            raise StateError(msg)
        return found

    def ends(self) -> dict[str, int]:
        """Return the next offset of each partition.

        Raises
        ------
        StateError
            If the segments overlap, leave a gap, or are damaged.
        """
        with self.locked():
            return self._ends()

    def current(self) -> list[Segment]:
        """Return the valid segments, checked to cover each offset once."""
        with self.locked():
            self._ends()
            return self.segments.read()

    def owners(self) -> dict[str, Claim | None]:
        """Return the newest claim of each partition; None where it was never claimed."""
        with self.locked():
            return {name: self.claims.newest(name) for name in self.record().start}

    def _ends(self) -> dict[str, int]:
        """Return the next offset of each partition."""
        covered = union(segment.covers for segment in self.segments.read())
        return ends_of(covered, self.record().start)
