"""Give the samples of a state, or of a snapshot, labels that came late."""

import csv
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from echo_stream._common.typing import Label
from echo_stream.connectors.app.stored_engine import stored_engine
from echo_stream.connectors.codecs.fields import number_or_text
from echo_stream.connectors.files.errors import naming
from echo_stream.connectors.group.record import GroupRecord
from echo_stream.connectors.process.clock import timestamp
from echo_stream.connectors.storage.checkpoints import list_checkpoints
from echo_stream.connectors.storage.snapshot_files import read_snapshot, write_snapshot
from echo_stream.connectors.storage.snapshots import check_state, list_snapshots, open_snapshot
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.connectors.storage.units import check_free
from echo_stream.coreset.building import with_labels
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.errors import DataError
from echo_stream.sketch.late_labels import checked_labels


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What became of labels.

    Attributes
    ----------
    num_labelled : int
        Labels of ids of which a sample is held.
    num_label_missed : int
        The others, which have set nothing.
    n : int
        Samples that are counted.
    snapshot : str or None
        Id of the snapshot that was written with the labels; None where nothing is counted.
    """

    num_labelled: int
    num_label_missed: int
    n: int
    snapshot: str | None


def label_samples(
    state: Path, labels: Path, *, features: str | None = None, device: str = "auto"
) -> LabelReport:
    """Set labels in the newest checkpoint, and write the next one and a snapshot with them.

    Where a group shares the state: in all its segments, which become one. Where the state
    has been built, and holds snapshots alone: in the newest of these, for another one.

    Parameters
    ----------
    state : Path
    labels : Path
        CSV with columns `id` and `label`; of several for one id the last one counts.
    features : str, optional
        As the state was begun with.
    device : str

    Raises
    ------
    SourceError, DataError
        If the file is not there, or no such CSV. The state is unchanged then.
    StateError
        If there is no state, no checkpoint or snapshot in it, or it is in use.
    """
    pairs = _read_labels(labels)
    check_state(state)
    is_built = GroupRecord.read(state) is None and not list_checkpoints(state)
    if is_built and list_snapshots(state):
        with StateStore(state) as store, open_snapshot(state, None) as unit:
            snapshot, num_met = _labelled(unit, pairs)
            store.save_snapshot(snapshot, snapshot.manifest["offsets"])
        return LabelReport(num_met, len(pairs) - num_met, snapshot.n, snapshot.id)
    taken: list[Snapshot] = []
    with stored_engine(state, features=features, device=device, on_snapshot=taken.append) as engine:
        num_met = engine.label([name for name, _ in pairs], [label for _, label in pairs])
        n = engine.n_seen_
    return LabelReport(num_met, len(pairs) - num_met, n, taken[0].id if taken else None)


def label_snapshot(state: Path | None, name: str, labels: Path, out: Path) -> LabelReport:
    """Write a snapshot again to a folder of its own, with labels that came late.

    The snapshot itself stays as it is, as all do.

    Parameters
    ----------
    state : Path or None
    name : str
        The snapshot, as `open_snapshot` takes it.
    labels : Path
        As in `label_samples`.
    out : Path
        Must not exist.

    Raises
    ------
    SourceError, DataError
        If the file of labels is not there, or no such CSV.
    SnapshotError
        If there is no such snapshot, or it is damaged.
    StateError
        If out exists, or cannot be written.
    """
    check_free(out)
    pairs = _read_labels(labels)
    with open_snapshot(state, name) as unit:
        snapshot, num_met = _labelled(unit, pairs)
        write_snapshot(
            snapshot,
            out,
            time=timestamp(),
            offsets=snapshot.manifest["offsets"],
            more_files={
                file: partial(shutil.copyfile, unit / file)
                for file in snapshot.manifest["files"]
                if not file.endswith(".parquet")  # those of a generation, beside a build's
            },
        )
    return LabelReport(num_met, len(pairs) - num_met, snapshot.n, snapshot.id)


def _labelled(unit: Path, pairs: Sequence[tuple[str, Label]]) -> tuple[Snapshot, int]:
    """Return a snapshot with labels, and how many of them are of samples that it has."""
    names, labels = [name for name, _ in pairs], [label for _, label in pairs]
    return with_labels(read_snapshot(unit), checked_labels(names, labels))


_COLUMNS = ("id", "label")


def _read_labels(path: Path) -> list[tuple[str, Label]]:
    """Return the ids and labels of a CSV file, in its order.

    Parameters
    ----------
    path : Path
        UTF-8, with a first line that names the columns `id` and `label`, among others
        perhaps. A label that is written as a number is one.

    Raises
    ------
    SourceError
        If there is no such file, or it may not be read.
    DataError
        If it is not such a CSV, naming the line.
    """
    with naming(path), path.open(encoding="utf-8-sig", newline="") as file:
        return list(_pairs(csv.DictReader(file, strict=True)))


def _pairs(reader: "csv.DictReader[str]") -> Iterator[tuple[str, Label]]:
    """Yield id and label of each line."""
    missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        msg = f"no column {missing[0]}; the first line must name the columns id and label"
        raise DataError(msg)
    for row in reader:
        for name in _COLUMNS:
            if not row[name]:
                msg = f"line {reader.line_num} has no {name}; give one, or leave the line out"
                raise DataError(msg)
        yield row["id"], number_or_text(row["label"])
