"""Set labels in every segment of a group. No member may be running."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from echo_stream.config import EngineConfig
from echo_stream.connectors.group_forgetting import write_next_version
from echo_stream.connectors.group_record import GroupRecord
from echo_stream.connectors.group_state import GroupState
from echo_stream.engine import EchoCoreset
from echo_stream.errors import StateError
from echo_stream.typing import Label

Pairs = Sequence[tuple[str, Label]]


def label_in_group(
    folder: Path, record: GroupRecord, pairs: Pairs, config: EngineConfig, *, device: str
) -> tuple[int, int]:
    """Set labels in the segments that hold samples of their ids.

    What none holds is noted by the first one, so that a snapshot counts it as missed once.

    Returns
    -------
    num_met, n : int
        Labels of ids that a segment holds, and samples that are counted.

    Raises
    ------
    StateError
        If a member is running, or nothing has been counted yet.
    """
    with closing(GroupState(folder, record.group, exclusive=True)) as state:
        segments = state.current()
        if not segments:
            msg = f"{folder} has no segment yet, so it holds no sample"
            raise StateError(msg)
        first, *others = segments
        noting = first.load(config, device=device)
        n, met = noting.n_seen_, _label(noting, pairs)
        for segment in others:
            engine = segment.load(config, device=device)
            found = _label(engine, pairs)
            n, met = n + engine.n_seen_, met | found
            if found:
                write_next_version(state, segment, engine)
        missed = [pair for row, pair in enumerate(pairs) if row not in met]
        noting.label([name for name, _ in missed], [label for _, label in missed])
        write_next_version(state, first, noting)
    return len(met), n


def _label(engine: EchoCoreset, pairs: Pairs) -> set[int]:
    """Set the labels of ids that an engine holds; return the rows of those."""
    rows = [row for row, (name, _) in enumerate(pairs) if engine.holds(name)]
    engine.label([pairs[row][0] for row in rows], [pairs[row][1] for row in rows])
    return set(rows)
