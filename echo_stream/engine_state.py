"""An engine as named arrays and JSON, and back: configuration, generation, sketch or warm-up."""

from typing import Any

import torch

from echo_stream.buffer import SampleBuffer
from echo_stream.config import EngineConfig
from echo_stream.forgotten import Forgotten
from echo_stream.generation import Generation, check_format
from echo_stream.sketch import Sketch
from echo_stream.sketch_state import (
    columns_to_json,
    samples_from_json,
    sketch_from_state,
    sketch_to_state,
    with_prefix,
)
from echo_stream.typing import Array, State

FORMAT_VERSION = 1


def pack_engine(
    config: EngineConfig, sketch: Sketch | None, waiting: SampleBuffer, forgotten: Forgotten
) -> State:
    """Return the state of an engine: its sketch, or what its warm-up holds back."""
    meta: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "config": config.to_json(),
        "forgotten": forgotten.to_json(),
    }
    arrays: dict[str, Array] = {}
    held_back = waiting.peek()
    if sketch is not None:
        _add(arrays, meta, "generation", sketch.generation.to_state())
        _add(arrays, meta, "sketch", sketch_to_state(sketch))
    elif held_back is not None:
        _add(arrays, meta, "waiting", ({"x": held_back.x}, columns_to_json(held_back)))
    return arrays, meta


def unpack_engine(
    state: State, *, device: torch.device, config: EngineConfig | None
) -> tuple[EngineConfig, Sketch | None, SampleBuffer, Forgotten]:
    """Undo `pack_engine`; config, if given, replaces the stored one.

    Raises
    ------
    StateError
        If the state is of another format version.
    """
    arrays, meta = state
    check_format(meta, FORMAT_VERSION, "engine state")
    kept = config or EngineConfig.from_json(meta["config"])
    forgotten = Forgotten()
    forgotten.restore(meta["forgotten"])
    if "sketch" in meta:
        generation = Generation.from_state(_part(arrays, meta, "generation"))
        sketch = sketch_from_state(_part(arrays, meta, "sketch"), generation, kept, device)
        return kept, sketch, SampleBuffer(), forgotten
    if "waiting" in meta:
        columns, description = _part(arrays, meta, "waiting")
        return kept, None, SampleBuffer(samples_from_json(columns["x"], description)), forgotten
    return kept, None, SampleBuffer(), forgotten


def _add(arrays: dict[str, Array], meta: dict[str, Any], name: str, part: State) -> None:
    """Put a part's state under its name."""
    arrays |= {f"{name}.{key}": array for key, array in part[0].items()}
    meta[name] = part[1]


def _part(arrays: dict[str, Array], meta: dict[str, Any], name: str) -> State:
    """Return the state that `_add` put under a name."""
    return with_prefix(arrays, f"{name}."), meta[name]
