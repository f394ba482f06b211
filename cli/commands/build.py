"""`echo-stream build`: a file or a folder to a coreset, in one batch."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echo_stream.cli.command import Command
from echo_stream.cli.options.fields import Fields, encoder_option, fields_options, loaded
from echo_stream.cli.options.settings import is_flag
from echo_stream.cli.options.shared import (
    data_argument,
    engine_options,
    option,
    section,
    state_option,
)
from echo_stream.cli.output.output import emit, progress, say, tell

if TYPE_CHECKING:
    from echo_stream.config import EngineConfig


@click.command(cls=Command)
@data_argument
@option("--out", type=click.Path(path_type=Path), help="Folder to write one snapshot to.")
@state_option
@section("Columns", fields_options, encoder_option)
@engine_options
def build(
    *,
    data: Path,
    out: Path | None,
    state: Path | None,
    fields: Fields,
    encoder: str | None,
    engine_config: "EngineConfig",
    generation: Path | None,
    device: str,
) -> None:
    """Build the coreset of a file or a folder.

    DATA is .npz (x, and optionally label or y, and id), .npy, .parquet, or a folder of .parquet
    files or of images. With --encoder and --payload-field it is a table with a column of text:
    .csv, .jsonl, .parquet or .feather. Unless --generation names a trained generation, one is
    trained: on all samples with --preset paper, otherwise on --warmup of them.

    \b
    Example:
      echo-stream build train.npz --budget 600 --preset paper --out coreset
    """
    if out is not None and state is not None:
        # A flag takes precedence over what is set for all commands.
        if not is_flag("state"):
            state = None
        elif not is_flag("out"):
            out = None
    if (out is None) == (state is None):
        msg = "give either --out DIR (one snapshot) or --state DIR (snapshot and generation)"
        raise click.UsageError(msg)
    makes_vectors = loaded(encoder, device)
    columns = fields.columns(makes_vectors)
    if makes_vectors is not None:
        engine_config = replace(engine_config, encoder=makes_vectors.identity)
    from echo_stream.connectors.app.batch import build_coreset
    from echo_stream.connectors.files.inputs import InputReport

    input_report = InputReport(tell)
    with progress("training the encoder") as show:
        built = build_coreset(
            data,
            engine_config,
            columns=columns,
            generation=generation,
            device=device,
            out=out,
            state=state,
            input_report=input_report,
            on_epoch=show,
        )
    manifest = built.snapshot.manifest
    say(f"{manifest['n']} samples, {manifest['num_cells']} cells; snapshot in {built.folder}")
    emit(
        {
            "snapshot": str(built.folder),
            "id": built.snapshot.id,
            "n": manifest["n"],
            "rows": len(built.snapshot.rows),
            "num_distinct": manifest["num_distinct"],
            "num_cells": manifest["num_cells"],
            "generation": manifest["generation"],
            "inputs": input_report.to_json(),
        }
    )
