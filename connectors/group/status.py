"""The status of a group: its members, and each partition's offset, owner and lag."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echo_stream.connectors.group.claims import Claim
from echo_stream.connectors.group.record import GroupRecord
from echo_stream.connectors.group.view import GroupView
from echo_stream.connectors.runner.status_reader import Liveness, is_well, read_members, read_status
from echo_stream.connectors.storage.snapshots import check_state, newest_manifest


def read_state_status(state: Path) -> dict[str, Any]:
    """Return the status of the run over a state, or of the group that shares it.

    Returns
    -------
    dict
        What `read_status` says. Of a group: "liveness", "group", "generation", "n", "segments" and
        "snapshot" with "coreset_size", "certified_fraction" and "coverage_at_least", of what is
        durable;
        "partitions", by "topic/partition", each with its durable "offset", the "member"
        that counts it, and that one's "lag_records" and "lag_seconds", where it is alive;
        "lag_records_total"; and "members", what `read_members` says.

    Raises
    ------
    SnapshotError
        If there is no state folder.
    StateError
        If a file cannot be read, or the segments do not fit together.
    """
    check_state(state)
    record = GroupRecord.read(state)
    return read_status(state) if record is None else _of_the_group(state, record)


def is_all_well(status: dict[str, Any]) -> bool:
    """Return whether the run of a status is alive and still writes; of a group, all members."""
    members = status.get("members")
    return is_well(status) if members is None else bool(members) and all(map(is_well, members))


def _of_the_group(state: Path, record: GroupRecord) -> dict[str, Any]:
    """Return the status of a group. O(manifests of segments + partitions)."""
    members, view = read_members(state), GroupView(state, is_quick=True)
    segments, offsets, owners = view.current(), view.ends(), view.owners()
    partitions = {
        name: _partition(name, offset, owners.get(name), members)
        for name, offset in sorted(offsets.items())
    }
    snapshot = newest_manifest(state)
    return {
        "liveness": _liveness(members, is_begun=bool(segments)),
        "group": record.group,
        "generation": view.record().generation,
        "n": sum(segment.n for segment in segments),
        "segments": len(segments),
        "snapshot": snapshot.get("id"),
        "coreset_size": snapshot.get("num_distinct"),
        "certified_fraction": snapshot.get("certified_fraction"),
        "coverage_at_least": snapshot.get("coverage_at_least"),
        "lag_records_total": sum(each["lag_records"] or 0 for each in partitions.values()),
        "partitions": partitions,
        "members": members,
    }


def _liveness(members: Sequence[dict[str, Any]], *, is_begun: bool) -> Liveness:
    """Return whether any member is alive; if not, whether one has died, or all have left."""
    states = {member["liveness"] for member in members}
    if "alive" in states:
        return "alive"
    if "died" in states:
        return "died"
    return "ended" if is_begun else "never"


def _partition(
    name: str, offset: int, claim: Claim | None, members: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Return the status of a partition; lags are null where no running member counts it."""
    owner = None if claim is None or claim.segment is None else claim.member
    counting = next((each for each in members if each["member"] == owner), {})
    if counting.get("liveness") != "alive":
        counting = {}
    return {
        "offset": offset,
        "member": owner,
        "lag_records": counting.get("lag_records", {}).get(name),
        "lag_seconds": counting.get("lag_seconds", {}).get(name),
    }
