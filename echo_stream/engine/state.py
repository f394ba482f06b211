"""An engine as named arrays and JSON, and back: configuration, generation, sketch or warm-up."""

from typing import Any

import torch

from echo_stream._common.typing import Array, State
from echo_stream.config import EngineConfig
from echo_stream.engine.progress import Progress
from echo_stream.errors import ConfigError
from echo_stream.generation.generation import Generation, check_format
from echo_stream.samples.buffer import SampleBuffer
from echo_stream.samples.changes import Changes
from echo_stream.samples.samples import as_objects
from echo_stream.sketch.merging import check_restorable
from echo_stream.sketch.state import (
    columns_to_json,
    samples_from_json,
    sketch_from_state,
    sketch_to_state,
    with_prefix,
)

FORMAT_VERSION = 3


def pack_engine(progress: Progress, feature_names: Array | None) -> State:
    """Return the state of an engine: its sketch, or what its warm-up holds back."""
    meta: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "config": progress.config.to_json(),
        "forgotten": progress.forgotten.to_json(),
        "changes": progress.changes.to_json(),
    }
    if feature_names is not None:
        meta["feature_names"] = feature_names.tolist()
    arrays: dict[str, Array] = {}
    if progress.config.holdout:
        _add(arrays, meta, "held_out", progress.held_out.to_state())
    held_back = progress.waiting.peek()
    if progress.sketch is not None:
        _add(arrays, meta, "generation", progress.sketch.generation.to_state())
        _add(arrays, meta, "sketch", sketch_to_state(progress.sketch))
    elif held_back is not None:
        _add(arrays, meta, "waiting", ({"x": held_back.x}, columns_to_json(held_back)))
    return arrays, meta


def unpack_engine(
    state: State,
    *,
    device: torch.device,
    config: EngineConfig | None = None,
    features: object = None,
) -> tuple[Progress, Array | None]:
    """Undo `pack_engine`; config, if given, replaces the stored one.

    Raises
    ------
    StateError
        If the state is of another format version.
    ConfigError
        If the features are missing, or others, or a setting is that the sketch was made with.
    """
    arrays, meta = state
    check_format(meta, FORMAT_VERSION, "engine state")
    kept = config or EngineConfig.from_json(meta["config"])
    names = as_objects(meta["feature_names"]) if "feature_names" in meta else None
    if kept.features is not None and features is None:
        msg = f"the state measures by features {kept.features!r}; give them as features"
        raise ConfigError(msg)
    progress = Progress(kept, device, features=features)
    progress.forgotten.restore(meta["forgotten"])
    progress.changes = Changes.from_json(meta["changes"])
    if "held_out" in meta:
        progress.held_out.restore(_part(arrays, meta, "held_out"))
    if "sketch" in meta:
        generation = Generation.from_state(_part(arrays, meta, "generation"), features=features)
        check_restorable(EngineConfig.from_json(meta["config"]), kept)
        part = _part(arrays, meta, "sketch")
        progress.sketch = sketch_from_state(part, generation, kept, device)
    elif "waiting" in meta:
        columns, description = _part(arrays, meta, "waiting")
        progress.waiting = SampleBuffer(samples_from_json(columns["x"], description))
    return progress, names


def _add(arrays: dict[str, Array], meta: dict[str, Any], name: str, part: State) -> None:
    """Put a part's state under its name."""
    arrays |= {f"{name}.{key}": array for key, array in part[0].items()}
    meta[name] = part[1]


def _part(arrays: dict[str, Array], meta: dict[str, Any], name: str) -> State:
    """Return the state that `_add` put under a name."""
    return with_prefix(arrays, f"{name}."), meta[name]
