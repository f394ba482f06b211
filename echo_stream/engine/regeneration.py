"""Train a new generation on held samples, and replace the sketch as a whole."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from echo_stream._common.typing import Array, IntArray
from echo_stream.engine.repair import repair
from echo_stream.engine.stratified import chunks, stratified_weights
from echo_stream.errors import SourceError, WarmupError
from echo_stream.generation.generation import OnEpoch, WeightedPayloads, train_generation
from echo_stream.generation.grid import grid_side
from echo_stream.generation.quantiser import MAX_CELLS
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_counts import LabelCounts
from echo_stream.samples.members import Member, members_of, samples_from
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import Rereadable, read_again
from echo_stream.sketch.fixed_sketch import FixedSketch
from echo_stream.sketch.late_labels import LateLabels
from echo_stream.sketch.pools.pools import Block


def regenerated(sketch: FixedSketch, *, on_epoch: OnEpoch | None = None) -> FixedSketch:
    """Return a sketch of a new generation, trained on the held samples and filled from them.

    The given sketch is left unchanged. Counts and sums are exact, and certificates hold, where
    all samples are held; else they are estimates.

    Raises
    ------
    WarmupError
        If nothing has been counted, or all held samples have been forgotten.

    Notes
    -----
    1. Train the embedding on the reservoir, a uniform sample, and codewords on all that is
    held, each sample weighted (`echo_stream.engine.stratified`). 2. Count it as
    many times: whole numbers, so that sums stay exact multiples of their spacing. 3. Offer all
    samples held to the new pools.

    Which uncertified samples are held depends on the order of arrival and of merges; so
    does the new generation.
    """
    old = _flushed(sketch)
    kept, members = old.reservoir.members, old.members()
    weighted, times = stratified_weights(old, members)
    new = _trained(old, on_epoch, WeightedPayloads(payloads(weighted, old), times))
    number = torch.from_numpy(times).to(new.device)
    for start, part in chunks(weighted):
        embedded = new.embedder.embed(samples_from(part, new.generation.schema))
        new.count(embedded, number[start : start + len(part)])
    slots, moved = _moved(members, new)
    _offer(new, slots, moved)
    moved_by_tie = {member.tie: member for member in moved}
    new.is_approximate = len(weighted) < old.n
    new.reservoir = old.reservoir.resized(
        [moved_by_tie[member.tie] for member in kept], new.reservoir.size
    )
    return new


def reread(
    sketch: FixedSketch, source: Rereadable, *, on_epoch: OnEpoch | None = None
) -> FixedSketch:
    """Return an exact sketch of a new generation, counted from a source that is read again.

    The generation is trained on the reservoir; the given sketch is left unchanged.

    Parameters
    ----------
    sketch : FixedSketch
    source : Rereadable
        As many samples are read, from the first, as have arrived. Forgotten ids are skipped.

    Raises
    ------
    SourceError
        If the source has fewer samples, or others than those that were counted.
    WarmupError
        If nothing has been counted.
    """
    old = _flushed(sketch)
    new = _trained(old, on_epoch)
    source.expect(new.generation.schema)
    new.forgotten = old.forgotten.same_ids()
    new.changes.num_replaced = 0
    new.label_counts = LabelCounts()
    arrived = old.num_arrived
    for samples in read_again(source, arrived):
        new.update(_without_forgotten(samples, new.forgotten))
    new.label_counts = old.label_counts.copy()  # those of skipped samples included
    read = new.num_arrived
    if read < arrived:
        msg = (
            f"{source.name} has {read} of the {arrived} samples that arrived before; "
            "give all the data that was streamed"
        )
        raise SourceError(msg)
    if not new.flushed().reservoir.agrees_with(old.reservoir):
        msg = (
            f"{source.name} has other samples than the {arrived} that arrived before; "
            "give the data that was streamed"
        )
        raise SourceError(msg)
    repair(new, source)
    LateLabels(old.members()).apply_to(new.index)
    return new


def _flushed(sketch: FixedSketch) -> FixedSketch:
    """Return the flushed sketch, if it has samples to train on."""
    if sketch.n == 0:
        msg = "no sample has been counted yet; there is nothing to train a generation on"
        raise WarmupError(msg)
    flushed = sketch.flushed()
    if not len(flushed.reservoir):
        msg = "all held samples have been forgotten; there is nothing to train a generation on"
        raise WarmupError(msg)
    return flushed


def _trained(
    old: FixedSketch, on_epoch: OnEpoch | None, weighted: WeightedPayloads | None = None
) -> FixedSketch:
    """Return an empty sketch of a generation trained on the reservoir of a flushed sketch.

    Codewords are trained on weighted, if given.
    """
    generation = train_generation(
        payloads(old.reservoir.members, old),
        old.config,
        expected_n=_expected_n(old),
        device=old.device,
        features=old.generation.features,
        on_epoch=on_epoch,
        weighted=weighted,
    )
    new = FixedSketch(generation, old.config, old.device)
    new.former_generations = [*old.former_generations, old.generation.id]
    new.forgotten.merge(old.forgotten)
    new.changes.merge(old.changes)
    new.label_counts.merge(old.label_counts)
    return new


def _expected_n(old: FixedSketch) -> int:
    """Return the N that sets a grid's resolution: the old one if cells were too many."""
    wanted = max(old.n, old.config.expected_n or 0)
    num_cells = (grid_side(wanted) + 2) ** old.generation.encoder.dim
    if old.config.cells != "codebook" and num_cells > MAX_CELLS:
        return old.generation.expected_n
    return wanted


def payloads(members: Sequence[Member], sketch: FixedSketch) -> Array:
    """Return the payloads of members, in their order."""
    return samples_from(members, sketch.generation.schema).x


def _moved(members: Sequence[Member], new: FixedSketch) -> tuple[IntArray, list[Member]]:
    """Return the slot of each member's cell, -1 for none, and the members with their new z."""
    slots, moved = [], []
    for _, part in chunks(members):
        embedded = new.embedder.embed(samples_from(part, new.generation.schema))
        slots.append(new.table.find(embedded.keys).cpu().numpy())
        points, inputs = embedded.latent.cpu().numpy(), embedded.vectors.cpu().numpy()
        for member, z, vector in zip(part, points, inputs, strict=True):
            kept = None if member.vector is None else vector.copy()
            moved.append(replace(member, latent=z.copy(), vector=kept))
    return np.concatenate(slots), moved


def _offer(new: FixedSketch, slots: IntArray, moved: Sequence[Member]) -> None:
    """Offer the members to the empty pools of their cells; those without a cell have none."""
    placed = [
        (slot, member) for slot, member in zip(slots.tolist(), moved, strict=True) if slot >= 0
    ]
    offered = np.bincount(slots[slots >= 0], minlength=len(new.table))
    new.pools.expect(new.table, offered)
    for _, part in chunks(placed):
        members = [member for _, member in part]
        embedded = new.embedder.placed(members)
        block = Block(
            slots=torch.tensor([slot for slot, _ in part], device=new.device),
            latent=embedded.latent,
            inputs=embedded.vectors,
            samples=embedded.samples,
            keeps_inputs=new.generation.features is not None,
            made=dict(enumerate(members)),
        )
        new.pools.update(new.table, block)


def _without_forgotten(samples: Samples, forgotten: Forgotten) -> Samples:
    """Return the samples whose id has not been forgotten; record the others in forgotten."""
    if not len(forgotten):
        return samples
    is_gone = np.array([name in forgotten for name in samples.ids], dtype=bool)
    for member in members_of(samples[np.flatnonzero(is_gone)]):
        forgotten.add(member.id, [member])
    return samples[np.flatnonzero(~is_gone)]
