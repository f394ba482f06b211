"""Claims: which process may count a partition. The newest claim is valid.

A claim is a file of its own, created exclusively and never changed:
`claims/<topic>/<partition>/<number>.json`. It names the segment that the partition's
samples go into from an offset on. A member that takes a partition over writes
the next claim, and from then on nothing more can be published under the one before.
"""

import os
import uuid
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from echo_stream.connectors.process.retrying import is_transient
from echo_stream.connectors.storage.durable import flush, make_folder
from echo_stream.connectors.storage.units import TEMPORARY_PREFIX, read_manifest, write_manifest
from echo_stream.errors import FencedError, InfrastructureError, StateError

_NUMBER_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one member to count a partition, as a lease with a number.

    Attributes
    ----------
    number : int
        Grows by one with each claim of the partition; the first is 1.
    segment : str or None
        What its samples are counted into; None: its owner has given it up.
    member : str
        The process that wrote it.
    group_generation : int
        Kafka's number of the assignment that it was written for.
    begin : int
        First offset that is counted under it.
    """

    number: int
    segment: str | None
    member: str
    group_generation: int
    begin: int


class Claims:
    """The claims of a state. Only under the group's lock.

    Parameters
    ----------
    folder : Path
        The state's `claims`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self, partition: str) -> Claim | None:
        """Return the claim of a "topic/partition" that is valid; None before the first. O(1).

        Raises
        ------
        StateError
            If it cannot be read.
        """
        found = self._claims(partition)
        if not found:
            return None
        path = found[-1]
        try:
            manifest = read_manifest(path.parent, manifest_name=path.name)
            return Claim(**{field.name: manifest[field.name] for field in fields(Claim)})
        except (StateError, KeyError) as err:
            msg = f"{err}; stop all members and remove it"
            raise StateError(msg) from err

    def write(
        self,
        partition: str,
        *,
        segment: str | None,
        member: str,
        group_generation: int,
        begin: int,
    ) -> None:
        """Write the next claim of a partition; remove those before it, and unfinished files.

        Raises
        ------
        FencedError
            If another process has written it at the same time.
        InfrastructureError
            If the disk is full.
        StateError
            If it cannot be written for another reason.
        """
        before = self._claims(partition)
        leftovers = list((self._folder / partition).glob(f"{TEMPORARY_PREFIX}*"))
        number = int(before[-1].stem) + 1 if before else 1
        claim = Claim(number, segment, member, group_generation, begin)
        destination = self._folder / partition / f"{number:0{_NUMBER_DIGITS}d}.json"
        try:
            _create(destination, claim)
            for path in (*before, *leftovers):
                path.unlink()
        except FileExistsError as err:
            msg = (
                f"{destination} has been written by another process; this one does not own "
                f"{partition}"
            )
            raise FencedError(msg) from err
        except OSError as err:
            msg = f"cannot write {destination}: {err.strerror}"
            raise (InfrastructureError if is_transient(err) else StateError)(msg) from err

    def _claims(self, partition: str) -> list[Path]:
        """Return the claims of a partition, oldest first."""
        return sorted((self._folder / partition).glob("[0-9]*.json"))


def _create(destination: Path, claim: Claim) -> None:
    """Write a claim whole and durably, or raise FileExistsError."""
    make_folder(destination.parent)
    temporary = destination.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    try:
        write_manifest(temporary, asdict(claim), [])
        flush(temporary)
        os.link(temporary, destination)
        flush(destination.parent)
    finally:
        temporary.unlink(missing_ok=True)
