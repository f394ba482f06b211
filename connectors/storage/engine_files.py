"""Generations and checkpoints as units on disk: safetensors and JSON, no pickle."""

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from echo_stream._common.typing import Array
from echo_stream.config import EngineConfig
from echo_stream.connectors.storage.units import FileWriter, verify_unit, write_manifest, write_unit
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import StateError
from echo_stream.generation.generation import Generation

_GENERATION_MANIFEST = "generation.json"
_ENCODER_FILE = "encoder.safetensors"
_SKETCH_FILE = "sketch.safetensors"


def generation_files(generation: Generation) -> dict[str, FileWriter]:
    """Return what writes a generation among the files of another unit.

    `read_generation` reads it from there.
    """
    arrays, meta = generation.to_state()
    manifest = {"id": generation.id, **meta}
    return {
        _ENCODER_FILE: tensors_writer(arrays),
        _GENERATION_MANIFEST: lambda path: write_manifest(path, manifest, [_ENCODER_FILE]),
    }


def write_generation(generation: Generation, parent: Path) -> Path:
    """Write a generation as parent/<id>, unless it is there already; return the folder."""
    destination = parent / generation.id
    if not destination.exists():
        arrays, meta = generation.to_state()
        write_unit(
            destination,
            {_ENCODER_FILE: tensors_writer(arrays)},
            {"id": generation.id, **meta},
            manifest_name=_GENERATION_MANIFEST,
        )
    return destination


def read_generation(unit: Path, *, features: str | None = None) -> Generation:
    """Read a generation: from its own folder, or from a snapshot that a build wrote.

    Raises
    ------
    StateError
        If it is not there, damaged, or of another format version.
    ConfigError
        If it was trained with features, and others or none are given.
    """
    meta = verify_unit(unit, manifest_name=_GENERATION_MANIFEST)
    return Generation.from_state((read_tensors(unit / _ENCODER_FILE), meta), features=features)


def write_checkpoint(
    engine: EchoCoreset,
    manifest: Mapping[str, Any],
    destination: Path,
    *,
    publishing: AbstractContextManager[None] | None = None,
) -> None:
    """Write the engine's state, and what manifest says beside it, as one atomic unit."""
    arrays, meta = engine.to_state()
    files = {_SKETCH_FILE: tensors_writer(arrays)}
    write_unit(destination, files, {**manifest, "engine": meta}, publishing=publishing)


def stored_config(manifest: Mapping[str, Any]) -> EngineConfig:
    """Return the configuration that a checkpoint's manifest names."""
    return EngineConfig.from_json(manifest["engine"]["config"])


def read_engine(
    unit: Path,
    manifest: Mapping[str, Any],
    config: EngineConfig,
    *,
    device: str,
    features: object = None,
) -> EchoCoreset:
    """Return the engine of a checkpoint, to go on with the settings of config.

    Parameters
    ----------
    unit : Path
    manifest : mapping
    config : EngineConfig
    device : str
    features : module or callable, optional
        What config names, where it is not to be imported by that name.

    Raises
    ------
    StateError
        If it is damaged, or of another format version.
    """
    state = (read_tensors(unit / _SKETCH_FILE), manifest["engine"])
    return EchoCoreset.from_state(state, device=device, config=config, features=features)


def tensors_writer(arrays: Mapping[str, Array]) -> FileWriter:
    """Return what writes named arrays as a safetensors file."""
    # safetensors writes the memory of an array as it lies.
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    def write(path: Path) -> None:
        try:
            save_file(contiguous, path)
        except SafetensorError as err:  # a full disk is not an OSError there
            found = re.search(r"\(os error (\d+)\)", str(err))
            number = int(found[1]) if found else 0
            raise OSError(number, os.strerror(number) if found else str(err)) from err

    return write


def read_tensors(path: Path) -> dict[str, Array]:
    """Return the named arrays of a safetensors file."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as err:
        msg = f"{path} is damaged: {err}"
        raise StateError(msg) from err
