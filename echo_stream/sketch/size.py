"""Bytes of a sketch: in use, and the most that it can ever have.

What Python's objects take was measured with tracemalloc, on 64-bit CPython 3.11;
`tests/engine/sketch/test_memory_bound.py` compares both with the heap.
"""

import sys
from collections.abc import Sequence

from echo_stream._common.scratch import rows_at_once
from echo_stream.config import MAX_HELD_OUT
from echo_stream.generation.generation import Generation
from echo_stream.samples.label_counts import MAX_CHARACTERS, MAX_LABELS
from echo_stream.samples.label_log import ENTRY_BYTES as LOGGED_BYTES
from echo_stream.samples.label_log import MOST_LABELS
from echo_stream.samples.members import Member
from echo_stream.sketch.adaptive_sketch import AdaptiveSketch
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.pools.certificates import MAX_CLOSED
from echo_stream.sketch.reduction import MOST_TOGETHER
from echo_stream.sketch.sketch import Sketch
from echo_stream.sketch.witnesses import PAIR_BYTES

_FLOAT32_BYTES = 4
_FLOAT64_BYTES = 8
_MEMBER_BYTES = 800  # of a sample beside payload and text: arrays, numbers, tie, origin
_PLACE_BYTES = 200  # of its place in a pool or in the reservoir
_INDEX_BYTES = 400  # of its places in the index of ids, which is built on first use
_POOL_BYTES = 600  # of an empty pool
_DROP_BYTES = 250  # of a bound on what a pool has dropped, beside the point that it is taken to
_OWNER_BYTES = 400  # of the place of a sample of the reservoir among adaptive cells
_TIE_BYTES = 250  # of a tie that has outlived its sample, beside the id
_TEXT_BYTES = 80  # of an object of text, beside its characters
# Of text in UTF-8: four where one wide character makes all of them wide, six where JSON
# writes a character as an escape.
_BYTES_PER_TEXT_BYTE = 6
_BYTES_PER_PAYLOAD_BYTE = 4  # of text in UTF-8, where one wide character makes all of them wide
_LABEL_BYTES = 200  # of a label's number of samples
_FIXED_BYTES = 65_536  # settings, and what else does not grow


def size_bytes(sketch: Sketch, members: Sequence[Member]) -> int:
    """Return the bytes of sums, references, members, and working memory. O(members).

    Objects and text are counted, not the index of ids and not the held-out samples.
    """
    held = sum(map(_object_bytes, members))
    held += (len(members) + len(sketch.tail)) * (_sample_bytes(sketch.generation) + _PLACE_BYTES)
    changes = sketch.forgotten.size_bytes + sketch.changes.size_bytes
    return held + _cell_bytes(sketch) + changes + _scratch_bytes(sketch)


def memory_bound(sketch: Sketch) -> int:
    """Return an upper bound on the bytes in use.

    So many bytes hold the objects of the state, and so many its files. On top come the hashes
    of ids that will be forgotten, `forgotten.ENTRY_BYTES` and more for each.
    """
    generation = sketch.generation
    text = _TEXT_BYTES + _BYTES_PER_TEXT_BYTE * sketch.config.max_text_bytes
    # 1. Cells: how many samples they hold, and what there is beside.
    places, cells = _most_of_cells(sketch, text)
    # 2. Samples: an id and two labels, where another one came late.
    places += sketch.reservoir.size + sketch.block_size
    places += MAX_HELD_OUT if sketch.config.holdout else 0
    sample = _sample_bytes(generation) + 3 * text + _PLACE_BYTES + _INDEX_BYTES
    is_encoded = sketch.config.encoder is not None
    if is_encoded or any(member.payload is not None for member in sketch.members()):
        sample += _TEXT_BYTES + _BYTES_PER_PAYLOAD_BYTE * sketch.config.max_payload_bytes
    # 3. Changes: once a label is logged, as many as a log takes.
    changes = sketch.forgotten.size_bytes
    changes += MOST_LABELS * (LOGGED_BYTES + text) if len(sketch.changes.label_log) else 0
    counts = _LABEL_BYTES * MAX_LABELS + _BYTES_PER_TEXT_BYTE * MAX_CHARACTERS
    fixed = _scratch_bytes(sketch) + 2 * generation.size_bytes + counts + _FIXED_BYTES
    return int(places * sample + cells + changes + fixed)


def _cell_bytes(sketch: Sketch) -> int:
    """Return the bytes of cells in use, beside the samples that they hold."""
    if isinstance(sketch, AdaptiveSketch):
        return sketch.cells.size_bytes + _OWNER_BYTES * len(sketch.owners)
    assert isinstance(sketch, FixedSketch)
    pools = _POOL_BYTES * len(sketch.table) * len(sketch.pools.all())
    return sketch.table.size_bytes + sketch.pools.size_bytes + sketch.witnesses.size_bytes + pools


def _most_of_cells(sketch: Sketch, text: int) -> tuple[int, int]:
    """Return how many samples cells can ever hold, and the most bytes that there are beside.

    text has the bytes of an id at most.
    """
    generation = sketch.generation
    dim, num_features = generation.encoder.dim, generation.num_features
    if isinstance(sketch, AdaptiveSketch):
        most = sketch.cells.most
        # Sums twice while cells are merged, and what merging each two would cost.
        sums = 3 * _FLOAT64_BYTES * most * (dim + 4)
        together = 4 * _FLOAT32_BYTES * min(most, MOST_TOGETHER) ** 2
        return most, sums + together + _OWNER_BYTES * sketch.reservoir.size
    assert isinstance(sketch, FixedSketch)
    pools, cells = sketch.pools, sketch.max_cells
    # 1. Sums and references, pools, and ids in the bounds on what they have dropped.
    sums = _FLOAT64_BYTES * cells * 9 * (num_features + dim)
    drops = (MAX_CLOSED + 1) * (_DROP_BYTES + 2 * (_TIE_BYTES + text)) * len(pools.ordered)
    last = _TIE_BYTES + text
    by_cell = sums + cells * (_POOL_BYTES * len(pools.all()) + drops + last)
    # 2. Links: of each codeword with all others, in its class.
    is_codebook = generation.quantiser.kind == "codebook"
    pairs = cells * (generation.quantiser.max_cells - 1) // 2 if is_codebook else 0
    return pools.most_members(cells), by_cell + PAIR_BYTES * pairs


def _sample_bytes(generation: Generation) -> int:
    """Return the bytes of a sample that is held, but for its text."""
    latent = _FLOAT64_BYTES * generation.encoder.dim
    vector = 0 if generation.features is None else _FLOAT32_BYTES * generation.num_features
    return generation.schema.size_bytes + latent + vector + _MEMBER_BYTES


def _object_bytes(member: Member) -> int:
    """Return the bytes of a sample's id, label and payload."""
    own = 0 if member.payload is None else sys.getsizeof(member.payload)
    return own + sys.getsizeof(member.id) + sys.getsizeof(member.label)


def _scratch_bytes(sketch: Sketch) -> int:
    """Return the bytes that blocks are worked on in, whether they are in use yet or not."""
    num_features, rows = (
        sketch.generation.num_features,
        rows_at_once(sketch.block_size, sketch.device),
    )
    vectors = _FLOAT32_BYTES * sketch.block_size * num_features
    exact = 2 * _FLOAT64_BYTES * rows * num_features  # for the encoder, and for the sums
    to_means = _FLOAT32_BYTES * rows * num_features
    to_centroids = _FLOAT64_BYTES * rows * sketch.generation.encoder.dim
    return vectors + exact + to_means + to_centroids
