"""A state that the members of a consumer group share: who counts what, from where.

Every change of the state (a claim, the publication of a segment, a compaction) happens
under one short lock. It is decided by what is on disk: the newest claim of each partition, and
the ranges that the segments cover. So a process that was stopped and resumes late
finds that its claims are not the newest, and can publish nothing.
"""

import os
import socket
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from echo_stream.config import EngineConfig
from echo_stream.connectors.group.claims import Claim
from echo_stream.connectors.group.record import GroupRecord
from echo_stream.connectors.group.view import GroupView
from echo_stream.connectors.storage.engine_files import read_generation, write_generation
from echo_stream.connectors.storage.state_locks import hold_lock, is_locked, lock_state
from echo_stream.connectors.storage.state_store import check_fingerprint, other_group
from echo_stream.connectors.storage.units import list_units, temporary_of
from echo_stream.errors import EchoStreamError, FencedError, SettingName, StateError
from echo_stream.generation.generation import Generation


class GroupState(GroupView):
    """One member's access to the state of a group, until it is closed or the process dies.

    Parameters
    ----------
    folder : Path
        Created when it does not exist.
    group : str
        Name of the consumer group.
    exclusive : bool
        Refuse to share it with members that are running.

    Attributes
    ----------
    member : str
        Name of this process, unlike any other.

    Raises
    ------
    StateError
        If a consumer without a group, or another group, uses the state.
    """

    def __init__(self, folder: Path, group: str, *, exclusive: bool = False) -> None:
        super().__init__(folder)
        self.group = group
        self.member = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._num_segments = 0
        self._lock = lock_state(folder, shared=not exclusive)
        try:
            self._refuse_others()
            with self.locked():
                self._alive = hold_lock(self._member_lock(self.member))
        except EchoStreamError:
            self._lock.close()
            raise

    @property
    def status_file(self) -> Path:
        """The status file of this member."""
        return self.folder / "members" / f"{self.member}.json"

    def close(self) -> None:
        """Remove this member from the state."""
        self.status_file.unlink(missing_ok=True)
        self._member_lock(self.member).unlink(missing_ok=True)
        self._alive.close()
        self._lock.close()

    def begin(
        self,
        config: EngineConfig,
        source: Mapping[str, Any],
        start: Callable[[], Mapping[str, int]],
        generation: Generation | None,
    ) -> GroupRecord:
        """Agree with the other members on what the first one has recorded; remove those that died.

        Parameters
        ----------
        config : EngineConfig
        source : mapping
            What identifies the source.
        start : callable
            Returns the first offset of each partition; only called by the first member.
        generation : Generation or None
            A trained one to begin with.

        Raises
        ------
        StateError
            If the group has begun with other settings, or without the generation.
        """
        with self.locked():
            known = GroupRecord.read(self.folder)
            if known is None:
                known = GroupRecord(self.group, config, source, start(), None)
                known.write(self.folder)
            check_fingerprint(known.config, config, self.folder)
            if generation is not None:
                self._settle(generation)
            self._remove_dead_members()
            return self.record()

    def generation(self, features: str | None) -> Generation | None:
        """Return the group's generation; None until there is one."""
        name = self.record().generation
        if name is None:
            return None
        return read_generation(self.folder / "generations" / name, features=features)

    def settle_generation(self, generation: Generation) -> None:
        """Record a generation for the group, unless it has another one already.

        Raises
        ------
        FencedError
            If it has: what was counted with this one cannot be merged with the rest.
        """
        with self.locked():
            self._settle(generation)

    def claim(
        self,
        start: Mapping[str, int],
        *,
        group_generation: int,
        by_force: bool = False,
    ) -> "tuple[str, dict[str, int]] | None":
        """Take partitions over into a new segment.

        Parameters
        ----------
        start : mapping
            The partitions, with the offset to begin at where the group has recorded none.
        group_generation : int
            Kafka's number of the assignment.
        by_force : bool
            Do not wait until a running member has handed its partitions over.

        Returns
        -------
        (str, dict) or None
            The segment's id and where each partition goes on; None: wait.

        Raises
        ------
        FencedError
            If a running member has claimed one for a later assignment.
        """
        with self.locked():
            if any(self._must_wait(name, group_generation, by_force=by_force) for name in start):
                return None
            record = self.record()
            if start.keys() - record.start.keys():
                record.starting_at(start).write(self.folder)
            begins = {name: end for name, end in self._ends().items() if name in start}
            segment = self.new_segment()
            for name, begin in begins.items():
                self.claims.write(
                    name,
                    segment=segment,
                    member=self.member,
                    group_generation=group_generation,
                    begin=begin,
                )
            return segment, begins

    def release(self, segment: str, partitions: Collection[str]) -> None:
        """Give up the valid claims of a segment, so that no member waits for them."""
        with self.locked():
            for name in partitions:
                claim = self.claims.newest(name)
                if claim is not None and claim.segment == segment:
                    self._give_up(name, claim)

    def release_all(self) -> None:
        """Give up the claims of members that have died. Only where no member is running."""
        with self.locked():
            for name in self.record().start:
                claim = self.claims.newest(name)
                if claim is not None and claim.segment is not None:
                    self._give_up(name, claim)

    def check_claims(self, segment: str, partitions: Collection[str]) -> None:
        """Raise FencedError unless all claims of a segment are still valid. Only under the lock."""
        for name in partitions:
            claim = self.claims.newest(name)
            if claim is None or claim.segment != segment:
                by = "nobody" if claim is None else claim.member
                msg = (
                    f"{name} has been taken over by {by} from offset "
                    f"{'?' if claim is None else claim.begin} on; what this process has counted "
                    "since is dropped, and counted there"
                )
                raise FencedError(msg)

    @contextmanager
    def publishing(self, segment: str, partitions: Collection[str]) -> Iterator[None]:
        """Hold the lock while a version of a segment is published, if its claims are valid.

        Raises
        ------
        FencedError
            If one is not.
        """
        with self.locked():
            self.check_claims(segment, partitions)
            yield

    def live(self) -> set[str]:
        """Return the segments that a claim names: they may still change. Under the lock."""
        newest = (self.claims.newest(name) for name in self.record().start)
        return {claim.segment for claim in newest if claim is not None and claim.segment}

    def others_alive(self) -> bool:
        """Return whether another member is running; remove those that are not."""
        with self.locked():
            return self._remove_dead_members()

    def new_segment(self) -> str:
        """Return an id that no segment has had."""
        self._num_segments += 1
        return f"{self.member}-{self._num_segments:06d}"

    def _remove_dead_members(self) -> bool:
        """Remove members that died; tell whether another one is alive. Only under the lock."""
        own = self._member_lock(self.member)
        others = [path for path in own.parent.glob("*.lock") if path != own]
        dead = [path for path in others if not is_locked(path)]
        for path in dead:
            status = path.with_suffix(".json")
            for left in (temporary_of(status), status, path):
                left.unlink(missing_ok=True)
        return len(dead) < len(others)

    def _must_wait(self, name: str, group_generation: int, *, by_force: bool) -> bool:
        """Return whether a partition's owner is still to hand it over."""
        claim = self.claims.newest(name)
        if claim is None or claim.segment is None or claim.member == self.member:
            return False
        if not is_locked(self._member_lock(claim.member)):
            return False
        if claim.group_generation > group_generation:
            msg = (
                f"{name} was assigned to {claim.member} after this process (assignment "
                f"{claim.group_generation} after {group_generation})"
            )
            raise FencedError(msg)
        return not by_force

    def _give_up(self, name: str, claim: Claim) -> None:
        """Record that no member counts a partition."""
        begin = self._ends()[name]
        self.claims.write(
            name,
            segment=None,
            member=self.member,
            group_generation=claim.group_generation,
            begin=begin,
        )

    def _settle(self, generation: Generation) -> None:
        """Record a generation where there is none."""
        record = self.record()
        if record.generation == generation.id:
            return
        if record.generation is not None:
            msg = (
                f"{self.folder} counts with generation {record.generation}, not with "
                f"{generation.id}; leave "
            )
            raise FencedError(
                msg,
                SettingName("generation"),
                " out, or give another ",
                SettingName("state"),
            )
        write_generation(generation, self.folder / "generations")
        replace(record, generation=generation.id).write(self.folder)

    def _refuse_others(self) -> None:
        """Refuse a state of a plain run, or of another group."""
        if list_units(self.folder / "checkpoints"):
            msg = f"{self.folder} was begun without "
            raise StateError(
                msg,
                SettingName("group"),
                "; leave it out, or give another ",
                SettingName("state"),
            )
        known = GroupRecord.read(self.folder)
        if known is not None and known.group != self.group:
            raise other_group(self.folder, known.group)

    def _member_lock(self, member: str) -> Path:
        """Return the lock that shows that a member is alive."""
        return self.folder / "members" / f"{member}.lock"
