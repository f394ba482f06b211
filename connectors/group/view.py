"""What the members of a group have agreed on and counted, to be looked at by anybody."""

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
        Believe segments whose manifests are whole.

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
        """Keep everybody else from changing the state within the block; keep it short."""
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
        """Return the offset that each partition goes on at.

        Raises
        ------
        StateError
            If the segments overlap, or leave a gap. Segments that are damaged are such.
        """
        with self.locked():
            return self._ends()

    def current(self) -> list[Segment]:
        """Return the segments that count, checked to be one whole."""
        with self.locked():
            self._ends()
            return self.segments.read()

    def holders(self) -> dict[str, Claim | None]:
        """Return the newest claim of each partition; None where nobody has claimed it."""
        with self.locked():
            return {name: self.claims.newest(name) for name in self.record().start}

    def _ends(self) -> dict[str, int]:
        """Return where each partition goes on."""
        covered = union(segment.covers for segment in self.segments.read())
        return ends_of(covered, self.record().start)
