"""Why a sample is in a state's coreset, or is not: its newest checkpoint and its snapshots."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.files.data_files import read_file
from echo_stream.connectors.files.errors import naming
from echo_stream.connectors.group.engine import read_group
from echo_stream.connectors.group.record import GroupRecord
from echo_stream.connectors.inspect.spread_table import spread_table
from echo_stream.connectors.storage.checkpoints import read_newest
from echo_stream.connectors.storage.snapshot_files import roles_of
from echo_stream.connectors.storage.snapshots import (
    check_state,
    each_snapshot,
    list_snapshots,
    open_snapshot,
    snapshot_manifest,
)
from echo_stream.errors import DataError, SnapshotError, StateError
from echo_stream.samples.validation import SampleSchema

logger = logging.getLogger(__name__)


def why_sample(
    state: Path,
    sample_id: str,
    *,
    data: Path | None = None,
    features: str | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Return what the newest checkpoint knows of a sample, and since when it is in snapshots.

    Parameters
    ----------
    state : Path
        A consumer may be running on it.
    sample_id : str
    data : Path, optional
        A data file with the sample, as `file_source` takes it: the row of that id, or the
        only row; or a `.npy` that is the sample. Says what beats one that is not held.
    features : str, optional
        As the state was begun with.
    device : str

    Returns
    -------
    dict
        What `EchoCoreset.why` says; "checkpoint", its name, time and N (of a group the number
        of segments, the newest one's time, and the N of all); and "entered", one for
        each time that the sample came into the snapshots that there are: the "role", the
        snapshot "since" which and the one "until" which it is in all of them. Damaged snapshots
        are skipped. "spread" has what the labels of the newest snapshot say of a sample in it
        that has none: "snapshot", "label", "confidence", and the labelled sample that it
        "follows"; None where the sample has a label, is not in that snapshot, or no label
        reaches it.

    Raises
    ------
    StateError
        If there is no state, or no whole checkpoint in it.
    WarmupError
        While the state warms up.
    SourceError, DataError
        If the data cannot be used.
    """
    check_state(state)
    record = GroupRecord.read(state)
    if record is None:
        found = read_newest(state, features=features, device=device)
    else:
        found = read_group(state, record, features=features, device=device)
    if found is None:
        kind = "checkpoint" if record is None else "segment yet"
        msg = f"{state} has no {kind}; query snapshots with `echo-stream query`"
        raise StateError(msg)
    engine, manifest = found
    x = None if data is None or engine.schema is None else _x_of(data, sample_id, engine.schema)
    explanation = engine.why(sample_id, x)
    names = ("sequence", "segments", "time", "n")
    checkpoint = {name: manifest[name] for name in names if name in manifest}
    likely = _spread(state, sample_id)
    if likely is not None:
        explanation["why"] += (
            f"; without a label, it follows {likely['follows']}: {likely['label']} with a "
            f"confidence of {likely['confidence']:.0%}"
        )
    entered = _entries(state, sample_id)
    return {**explanation, "checkpoint": checkpoint, "entered": entered, "spread": likely}


def _x_of(data: Path, sample_id: str, schema: SampleSchema) -> Array:
    """Return the payload of a sample out of a data file."""
    if data.suffix == ".npy":
        with naming(data):
            array: Array = np.load(data, allow_pickle=False, mmap_mode="r")
        if array.shape == schema.shape:
            return array
    samples = read_file(data)
    rows = np.flatnonzero([str(one) == sample_id for one in samples.ids.tolist()])
    if len(rows) == 1 or len(samples) == 1:
        return np.asarray(samples.x[rows[0] if len(rows) else 0])
    msg = (
        f"{data}: {len(rows)} of {len(samples)} rows have the id {sample_id!r}; "
        "give a file with that sample alone"
    )
    raise DataError(msg)


def _spread(state: Path, sample_id: str) -> dict[str, Any] | None:
    """Return what the labels of the newest snapshot say of a sample in it without one."""
    try:
        if not list_snapshots(state):
            return None
        with open_snapshot(state, None) as unit:
            if not roles_of(unit, sample_id) & {"core", "support", "context"}:
                return None
            table, name = spread_table(unit), snapshot_manifest(unit)["id"]
    except SnapshotError as err:
        logger.warning("snapshot skipped: %s", err)
        return None
    at = table["id"].to_pylist().index(sample_id)
    row = table.slice(at, 1).to_pylist()[0]
    if row["is_given"] or row["follows"] is None:
        return None
    return {"snapshot": name, **{key: row[key] for key in ("label", "confidence", "follows")}}


def _entries(state: Path, sample_id: str) -> list[dict[str, Any]]:
    """Return the spans of snapshots that a sample is in, oldest first, core before support."""
    entries: list[dict[str, Any]] = []
    is_open: dict[str, dict[str, Any]] = {}
    for unit, manifest in each_snapshot(state):
        try:
            roles = roles_of(unit, sample_id)
        except SnapshotError as err:
            logger.warning("snapshot skipped: %s", err)
            continue
        moment = {"snapshot": manifest["id"], "time": manifest["time"], "n": manifest["n"]}
        for role in sorted(roles):
            if role not in is_open:
                is_open[role] = {"role": role, "since": moment, "until": moment}
                entries.append(is_open[role])
            is_open[role]["until"] = moment
        is_open = {role: entry for role, entry in is_open.items() if role in roles}
    return entries
