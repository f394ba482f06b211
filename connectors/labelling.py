"""Give the samples of a state labels that came late."""

from dataclasses import dataclass, replace
from pathlib import Path

from echo_stream.connectors.group_labelling import label_in_group
from echo_stream.connectors.group_record import GroupRecord
from echo_stream.connectors.label_files import read_labels
from echo_stream.connectors.stored_engine import stored_engine
from echo_stream.errors import StateError
from echo_stream.typing import Label


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
    """

    num_labelled: int
    num_label_missed: int
    n: int


def label_samples(
    state: Path, labels: Path, *, features: str | None = None, device: str = "auto"
) -> LabelReport:
    """Set labels in the newest checkpoint, and write the next one with them.

    Where a group shares the state: in all its segments.

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
        If there is no checkpoint, or the state is in use.
    """
    pairs = read_labels(labels)
    if not state.is_dir():
        msg = f"there is no state at {state}"
        raise StateError(msg)
    record = GroupRecord.read(state)
    if record is not None:
        config = replace(record.config, features=features)
        num_met, n = label_in_group(state, record, pairs, config, device=device)
    else:
        num_met, n = _label_in_checkpoint(state, pairs, features=features, device=device)
    return LabelReport(num_met, len(pairs) - num_met, n)


def _label_in_checkpoint(
    state: Path, pairs: list[tuple[str, Label]], *, features: str | None, device: str
) -> tuple[int, int]:
    """Write the next checkpoint with labels; return how many met a sample, and N."""
    with stored_engine(state, features=features, device=device) as engine:
        num_met = engine.label([name for name, _ in pairs], [label for _, label in pairs])
        return num_met, engine.n_seen_
