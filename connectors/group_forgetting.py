"""Forget a sample in every segment of a group. No member may be running."""

from contextlib import closing
from pathlib import Path

from echo_stream.config import EngineConfig
from echo_stream.connectors.group_record import GroupRecord
from echo_stream.connectors.group_state import GroupState
from echo_stream.connectors.segments import Segment
from echo_stream.connectors.units import read_manifest
from echo_stream.engine import EchoCoreset
from echo_stream.errors import StateError


def forget_in_group(
    folder: Path, record: GroupRecord, sample_id: str, config: EngineConfig, *, device: str
) -> tuple[int, int]:
    """Take a sample out of the segments that hold it.

    Where none does, one of them notes that the id was missed: a snapshot counts it once.

    Returns
    -------
    removed, n : int
        Samples taken out, and samples that are counted now.

    Raises
    ------
    StateError
        If a member is running, or nothing has been counted yet.
    """
    with closing(GroupState(folder, record.group, exclusive=True)) as state:
        segments = state.current()
        if not segments:
            msg = f"{folder} has no segment yet, so no sample to forget"
            raise StateError(msg)
        n, removed, missed = 0, 0, None
        for segment in segments:
            engine = segment.load(config, device=device)
            taken = engine.forget(sample_id)
            n, removed = n + engine.n_seen_, removed + taken
            if taken:
                write_next_version(state, segment, engine)
            else:
                missed = missed or (segment, engine)
        if missed is not None and not removed:
            write_next_version(state, *missed)
    return removed, n


def write_next_version(state: GroupState, segment: Segment, engine: EchoCoreset) -> None:
    """Write the next version of a segment, which covers the same."""
    manifest = read_manifest(segment.unit)
    about = {name: manifest[name] for name in ("member", "group_generation", "source")}
    state.segments.write(
        segment.id,
        engine,
        segment.covers,
        about,
        skipped=segment.skipped,
        replaces=segment.replaces,
    )
