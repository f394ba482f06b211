"""Give the samples of a state labels that came late."""

from dataclasses import dataclass
from pathlib import Path

from echo_stream.connectors.label_files import read_labels
from echo_stream.connectors.stored_engine import stored_engine


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

    Where a group shares the state: in all its segments, which become one.

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
        If there is no state, no checkpoint in it, or it is in use.
    """
    pairs = read_labels(labels)
    with stored_engine(state, features=features, device=device) as engine:
        num_met = engine.label([name for name, _ in pairs], [label for _, label in pairs])
        n = engine.n_seen_
    return LabelReport(num_met, len(pairs) - num_met, n)
