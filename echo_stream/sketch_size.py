"""Bytes of a sketch: what it has in use, and the most that it can ever have."""

from typing import TYPE_CHECKING

from echo_stream.scratch import rows_at_once
from echo_stream.witnesses import PAIR_BYTES

if TYPE_CHECKING:
    from echo_stream.generation import Generation
    from echo_stream.sketch import Sketch

FLOAT32_BYTES = 4
FLOAT64_BYTES = 8


def size_bytes(sketch: "Sketch", num_held: int, *, block_size: int) -> int:
    """Return the bytes of sums, references, retained payloads and the memory to work in.

    num_held is how many samples pools and reservoir hold, each counted once.
    """
    payloads = num_held * _payload_bytes(sketch.generation)
    tables = sketch.table.size_bytes + sketch.pools.size_bytes + sketch.witnesses.size_bytes
    waiting = sketch.tail.size_bytes + _scratch_bytes(sketch, block_size)
    return tables + payloads + waiting + sketch.forgotten.size_bytes + sketch.changes.size_bytes


def memory_bound(sketch: "Sketch", *, block_size: int) -> int:
    """Return the most bytes that can be in use, whatever arrives (R only falls from here).

    Only hashes of ids that will be forgotten come on top, and in a group late labels.
    """
    generation, pools = sketch.generation, sketch.pools
    max_cells, dim = sketch.max_cells, generation.encoder.dim
    payload = _payload_bytes(generation)
    members = pools.most_members(max_cells) + sketch.reservoir.size
    sums = FLOAT64_BYTES * max_cells * 9 * (generation.num_features + dim)
    # Of each codeword with all others, in its class.
    is_codebook = generation.partition.kind == "codebook"
    pairs = max_cells * (generation.partition.max_cells - 1) // 2 if is_codebook else 0
    scratch = _scratch_bytes(sketch, block_size)
    asked = sketch.forgotten.size_bytes + sketch.changes.size_bytes
    fixed = sums + scratch + PAIR_BYTES * pairs + asked
    return int((members + block_size) * payload + fixed)


def _payload_bytes(generation: "Generation") -> int:
    """Return the bytes of a sample that is held, and of where it is."""
    latent = FLOAT64_BYTES * generation.encoder.dim
    vector = 0 if generation.features is None else FLOAT32_BYTES * generation.num_features
    return generation.schema.size_bytes + latent + vector


def _scratch_bytes(sketch: "Sketch", block_size: int) -> int:
    """Return the bytes that blocks are worked on in, whether they are in use yet or not."""
    num_features, rows = sketch.generation.num_features, rows_at_once(block_size, sketch.device)
    vectors = FLOAT32_BYTES * block_size * num_features
    exact = 2 * FLOAT64_BYTES * rows * num_features  # for the encoder, and for the sums
    to_means = FLOAT32_BYTES * rows * num_features
    to_centroids = FLOAT64_BYTES * rows * sketch.generation.encoder.dim
    return vectors + exact + to_means + to_centroids
