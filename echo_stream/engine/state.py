"""Store an engine as named arrays and JSON: configuration, generation, sketch or warm-up."""

from typing import Any

import torch

from echo_stream._common.typing import Array, State
from echo_stream.config import EngineConfig
from echo_stream.engine.accumulator import Accumulator
from echo_stream.engine.drift import DriftDetector
from echo_stream.errors import ConfigError
from echo_stream.generation.generation import Generation, check_adaptive, check_format
from echo_stream.samples.samples import as_objects
from echo_stream.sketch.merging import check_restorable
from echo_stream.sketch.state import (
    sketch_from_state,
    sketch_to_state,
    with_prefix,
)

_FORMAT_VERSION = 7


def pack_engine(accumulator: Accumulator, feature_names: Array | None) -> State:
    """Return the state of an engine: its sketch, or the buffer of its warm-up."""
    meta: dict[str, Any] = {
        "format_version": _FORMAT_VERSION,
        "config": accumulator.config.to_json(),
    }
    if feature_names is not None:
        meta["feature_names"] = feature_names.tolist()
    arrays: dict[str, Array] = {}
    if accumulator.config.holdout:
        _add(arrays, meta, "held_out", accumulator.held_out.to_state())
    if accumulator.sketch is not None:
        _add(arrays, meta, "generation", accumulator.sketch.generation.to_state())
        _add(arrays, meta, "sketch", sketch_to_state(accumulator.sketch))
        if accumulator.detector is not None:
            meta["drift_detector"] = accumulator.detector.to_json()
    else:
        _add(arrays, meta, "warmup", accumulator.warmup.to_state())
    return arrays, meta


def unpack_engine(
    state: State,
    *,
    device: torch.device,
    config: EngineConfig | None = None,
    features: object = None,
) -> tuple[Accumulator, Array | None]:
    """Undo `pack_engine`; config, if given, replaces the stored one.

    Raises
    ------
    StateError
        If the state is of another format version.
    ConfigError
        If the features are missing or different, or a setting differs that shapes the sketch.
    """
    arrays, meta = state
    check_format(meta, _FORMAT_VERSION, "engine state")
    kept = config or EngineConfig.from_json(meta["config"])
    names = as_objects(meta["feature_names"]) if "feature_names" in meta else None
    if kept.features is not None and features is None:
        msg = f"the state was built with features {kept.features!r}; give them as features"
        raise ConfigError(msg)
    accumulator = Accumulator(kept, device, features=features)
    if "held_out" in meta:
        accumulator.held_out.restore(_part(arrays, meta, "held_out"))
    if "sketch" in meta:
        generation = Generation.from_state(_part(arrays, meta, "generation"), features=features)
        check_adaptive(generation, kept)
        check_restorable(EngineConfig.from_json(meta["config"]), kept)
        part = _part(arrays, meta, "sketch")
        accumulator.sketch = sketch_from_state(part, generation, kept, device)
        if "drift_detector" in meta:
            accumulator.detector = DriftDetector.from_json(meta["drift_detector"])
    else:
        accumulator.warmup.restore(_part(arrays, meta, "warmup"))
    return accumulator, names


def _add(arrays: dict[str, Array], meta: dict[str, Any], name: str, part: State) -> None:
    """Add a part's state under a name."""
    arrays |= {f"{name}.{key}": array for key, array in part[0].items()}
    meta[name] = part[1]


def _part(arrays: dict[str, Array], meta: dict[str, Any], name: str) -> State:
    """Return the state that `_add` put under a name."""
    return with_prefix(arrays, f"{name}."), meta[name]
