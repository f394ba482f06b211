"""Make the empty sketch of a generation, with fixed or with adaptive cells."""

import torch

from echo_stream.config import EngineConfig
from echo_stream.generation.generation import Generation
from echo_stream.sketch.adaptive_sketch import AdaptiveSketch
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.sketch import Sketch


def new_sketch(generation: Generation, config: EngineConfig, device: torch.device) -> Sketch:
    """Return an empty sketch with the kind of cells that a generation has."""
    is_adaptive = generation.partition.kind == "adaptive"
    return (AdaptiveSketch if is_adaptive else FixedSketch)(generation, config, device)
