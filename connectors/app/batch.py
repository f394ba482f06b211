"""A batch build: a file or folder in, one snapshot out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echo_stream.config import EngineConfig
from echo_stream.connectors.files.data_files import file_source
from echo_stream.connectors.files.inputs import LOOK_SAMPLES, InputReport
from echo_stream.connectors.files.tables import FileColumns
from echo_stream.connectors.process.clock import timestamp
from echo_stream.connectors.storage.engine_files import (
    generation_files,
    read_generation,
    write_generation,
)
from echo_stream.connectors.storage.snapshot_files import write_snapshot
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.connectors.storage.units import check_free
from echo_stream.coreset.snapshot import Snapshot
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.generation.generation import check_quantiser


@dataclass(frozen=True, slots=True)
class Built:
    """A snapshot and the folder that it was written to."""

    snapshot: Snapshot
    folder: Path


def build_coreset(  # noqa: PLR0913 - everything that a build is between
    data: Path,
    config: EngineConfig,
    *,
    columns: FileColumns | None = None,
    generation: Path | None,
    device: str,
    out: Path | None,
    state: Path | None,
    input_report: InputReport,
    on_epoch: Callable[[int, int], None] | None = None,
) -> Built:
    """Build the coreset of a data file and write its snapshot.

    Parameters
    ----------
    data : Path
    config : EngineConfig
    columns : FileColumns, optional
        Read a table of payloads; see `file_source`.
    generation : Path or None
        A trained generation to use instead of training one on all samples.
    device : str
    out : Path or None
        Folder of the snapshot, which must not exist.
    state : Path or None
        Without out: the state folder that the snapshot and the generation go to.
    input_report : InputReport
    on_epoch : callable, optional
        Called with (epochs done, epochs) while the encoder is trained.

    Raises
    ------
    SourceError, DataError, StateError
        Whatever is wrong with the file, the generation or the folders; before training
        wherever it can be known.
    """
    if out is not None:
        check_free(out)
    trained = None if generation is None else read_generation(generation, features=config.features)
    if trained is not None:
        check_quantiser(trained, config)
    source = file_source(data, limits=config.limits, columns=columns)
    input_report.inputs(source.name, source.inputs)
    input_report.samples(source.next_batch(LOOK_SAMPLES).samples)
    input_report.labels()
    offsets = {"row": source.num_samples}
    engine = EchoCoreset.from_config(config, generation=trained, device=device)
    if out is not None:
        snapshot = engine.fit_source(source, on_epoch=on_epoch).snapshot()
        input_report.scales(engine.scales)
        write_snapshot(
            snapshot,
            out,
            time=timestamp(),
            offsets=offsets,
            more_files=generation_files(engine.generation_),
        )
        return Built(snapshot, out)
    assert state is not None
    with StateStore(state) as store:
        snapshot = engine.fit_source(source, on_epoch=on_epoch).snapshot()
        input_report.scales(engine.scales)
        write_generation(engine.generation_, state / "generations")
        name = store.save_snapshot(snapshot, offsets)
    return Built(snapshot, state / "snapshots" / name)
