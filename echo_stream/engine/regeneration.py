"""A new generation in the midst of a stream: trained on kept samples, swapped in whole."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from echo_stream._common.typing import Array, IntArray
from echo_stream.engine.repair import repair
from echo_stream.engine.stratified import chunks, stand_ins
from echo_stream.errors import SourceError, WarmupError
from echo_stream.generation.generation import Covered, OnEpoch, train_generation
from echo_stream.generation.grid import grid_side
from echo_stream.generation.partition import MAX_CELLS
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_counts import LabelCounts
from echo_stream.samples.members import Member, members_of, samples_from
from echo_stream.samples.samples import Samples
from echo_stream.samples.source import Rereadable, read_again
from echo_stream.sketch.drift import Watch
from echo_stream.sketch.late_labels import LateLabels
from echo_stream.sketch.pools.pools import Block
from echo_stream.sketch.sketch import Sketch


def count(sketch: Sketch, samples: Samples) -> Sketch:
    """Count samples, and return the sketch to go on with: another one after a drift.

    A watched sketch is looked at whenever N has doubled, at the end of the block in which
    it has: the caller's batches change nothing.
    """
    while sketch.watch is not None:
        due = sketch.samples_until(sketch.watch.next_look)
        if len(samples) < due:
            break
        sketch.update(samples[:due])
        samples = samples[due:]
        # Where samples were replaced, N has not come so far.
        if sketch.num_applied >= sketch.watch.next_look:
            sketch = _looked_at(sketch, sketch.watch)
    sketch.update(samples)
    return sketch


def _looked_at(sketch: Sketch, watch: Watch) -> Sketch:
    """Return a sketch to go on with after a look at its drift."""
    seen = (sketch.n, sketch.reservoir.members, sketch.generation.partition)
    if watch.drift(*seen).is_drift:
        return regenerated(sketch)
    sketch.watch = watch.looked(*seen)
    return sketch


def regenerated(sketch: Sketch, *, on_epoch: OnEpoch | None = None, goes_on: bool = True) -> Sketch:
    """Return a sketch of a new generation, trained on what is held and filled from it.

    The sketch given is left as it is. Counts and sums are exact, and certificates stand,
    where everything that was counted is held; else they are estimates. One that does not go
    on is only to select from: it is not watched for drift.

    Raises
    ------
    WarmupError
        If nothing has been counted, or all that was kept has been forgotten.

    Notes
    -----
    1. Train the embedding on the reservoir, a uniform sample, and codewords on all that is
    held, each sample for as many as it stands for (`echo_stream.engine.stratified`). 2. Count it as
    many times: whole numbers, so that sums stay exact multiples of their unit. 3. Offer all
    samples held to the new pools.

    What is held depends on the order of arrival, and of merges, as far as nothing is proven
    of it; so does the new generation.
    """
    old = _begun(sketch)
    kept, members = old.reservoir.members, old.members()
    standing, times = stand_ins(old, members)
    new = _trained(old, on_epoch, Covered(_payloads(standing, old), times))
    number = torch.from_numpy(times).to(new.device)
    for start, part in chunks(standing):
        embedded = new.embedder.embed(samples_from(part, new.generation.schema))
        new.count(embedded, number[start : start + len(part)])
    slots, heirs = _moved(members, new)
    _offer(new, slots, heirs)
    heir_of = {heir.tie: heir for heir in heirs}
    new.is_approximate = len(standing) < old.n
    new.reservoir = old.reservoir.successor(
        [heir_of[member.tie] for member in kept], new.reservoir.size
    )
    if goes_on:
        _watch_on(new, old)
    return new


def reread(sketch: Sketch, source: Rereadable, *, on_epoch: OnEpoch | None = None) -> Sketch:
    """Return an exact sketch of a new generation, counted from a source that is read again.

    The generation is trained on the reservoir; the sketch given is left as it is.

    Parameters
    ----------
    sketch : Sketch
    source : Rereadable
        As many samples are taken, from the first, as have arrived. Those whose id has been
        forgotten are passed over.

    Raises
    ------
    SourceError
        If the source brings fewer samples, or others than those that were counted.
    WarmupError
        If nothing has been counted.
    """
    old = _begun(sketch)
    new = _trained(old, on_epoch)
    source.expect(new.generation.schema)
    new.forgotten = old.forgotten.same_ids()
    new.changes.num_replaced = 0
    new.labels = LabelCounts()
    arrived = old.num_arrived
    for samples in read_again(source, arrived):
        new.update(_remembered(samples, new.forgotten))
    new.labels = old.labels.copy()  # those of samples that are passed over included
    read = new.num_arrived
    if read < arrived:
        msg = (
            f"{source.name} has brought {read} of the {arrived} samples that arrived before; "
            "give all the data that was streamed"
        )
        raise SourceError(msg)
    if not new.settled().reservoir.agrees_with(old.reservoir):
        msg = (
            f"{source.name} has brought other samples than the {arrived} that arrived before; "
            "give the data that was streamed"
        )
        raise SourceError(msg)
    repair(new, source)
    LateLabels(old.members()).put_on(new.held)
    _watch_on(new, old)
    return new


def _begun(sketch: Sketch) -> Sketch:
    """Return the sketch with its tail applied, if there is anything to train on."""
    if sketch.n == 0:
        msg = "no sample has been counted yet; there is nothing to train a generation on"
        raise WarmupError(msg)
    settled = sketch.settled()
    if not len(settled.reservoir):
        msg = "all that was kept has been forgotten; there is nothing to train a generation on"
        raise WarmupError(msg)
    return settled


def _trained(old: Sketch, on_epoch: OnEpoch | None, covered: Covered | None = None) -> Sketch:
    """Return an empty sketch of a generation trained on the reservoir of a settled sketch.

    Codewords on what is covered, if that is given.
    """
    generation = train_generation(
        _payloads(old.reservoir.members, old),
        old.config,
        expected_n=_expected_n(old),
        device=old.device,
        features=old.generation.features,
        on_epoch=on_epoch,
        covered=covered,
    )
    new = Sketch(generation, old.config, old.device)
    new.former_generations = [*old.former_generations, old.generation.id]
    new.forgotten.merge(old.forgotten)
    new.changes.merge(old.changes)
    new.labels.merge(old.labels)
    return new


def _expected_n(old: Sketch) -> int:
    """Return the N that fixes a grid's resolution: the old one where cells would be too many."""
    wanted = max(old.n, old.config.expected_n or 0)
    num_cells = (grid_side(wanted) + 2) ** old.generation.encoder.dim
    if old.config.cells != "codebook" and num_cells > MAX_CELLS:
        return old.generation.expected_n
    return wanted


def _payloads(members: Sequence[Member], sketch: Sketch) -> Array:
    """Return the payloads of members, in their order."""
    return samples_from(members, sketch.generation.schema).x


def _moved(members: Sequence[Member], new: Sketch) -> tuple[IntArray, list[Member]]:
    """Return the slot of each member's cell, -1 for none, and the members with their new z."""
    slots, heirs = [], []
    for _, part in chunks(members):
        embedded = new.embedder.embed(samples_from(part, new.generation.schema))
        slots.append(new.table.find(embedded.keys).cpu().numpy())
        points, inputs = embedded.latent.cpu().numpy(), embedded.vectors.cpu().numpy()
        for member, z, vector in zip(part, points, inputs, strict=True):
            kept = None if member.vector is None else vector.copy()
            heirs.append(replace(member, latent=z.copy(), vector=kept))
    return np.concatenate(slots), heirs


def _offer(new: Sketch, slots: IntArray, heirs: Sequence[Member]) -> None:
    """Offer the members to the empty pools of their cells; those without a cell have none."""
    placed = [(slot, heir) for slot, heir in zip(slots.tolist(), heirs, strict=True) if slot >= 0]
    offered = np.bincount(slots[slots >= 0], minlength=len(new.table))
    new.pools.expect(new.table, offered)
    for _, part in chunks(placed):
        members = [heir for _, heir in part]
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


def _watch_on(new: Sketch, old: Sketch) -> None:
    """Watch the new sketch if the old one was watched."""
    if old.watch is not None:
        begun = Watch.begin(
            new.generation, _payloads(old.reservoir.members, old), seed=new.config.seed
        )
        kept = new.settled().reservoir.members
        new.watch = begun.looked(new.n, kept, new.generation.partition)


def _remembered(samples: Samples, forgotten: Forgotten) -> Samples:
    """Return the samples whose id has not been forgotten; count the others there."""
    if not len(forgotten):
        return samples
    is_gone = np.array([name in forgotten for name in samples.ids], dtype=bool)
    for member in members_of(samples[np.flatnonzero(is_gone)]):
        forgotten.add(member.id, [member])
    return samples[np.flatnonzero(~is_gone)]
