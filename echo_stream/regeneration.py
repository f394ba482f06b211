"""A new generation in the midst of a stream: trained on kept samples, swapped in whole."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from echo_stream import sketch as sketches
from echo_stream.drift import Watch
from echo_stream.errors import SourceError, WarmupError
from echo_stream.forgotten import Forgotten
from echo_stream.generation import OnEpoch, train_generation
from echo_stream.grid import grid_side
from echo_stream.label_counts import LabelCounts
from echo_stream.labelling import LateLabels
from echo_stream.members import Member, members_of, samples_from
from echo_stream.partition import MAX_CELLS
from echo_stream.pools import Block
from echo_stream.repair import repair
from echo_stream.samples import Samples
from echo_stream.sketch import Sketch
from echo_stream.source import Rereadable, read_again
from echo_stream.typing import Array, IntArray

Item = TypeVar("Item")


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
    """Return a sketch of a new generation, trained on the reservoir and filled from what is held.

    The sketch given is left as it is. Counts and sums are exact, and certificates stand,
    where the reservoir holds everything that was counted; else they are estimates. One that
    does not go on is only to select from: it is not watched for drift.

    Raises
    ------
    WarmupError
        If nothing has been counted.

    Notes
    -----
    1. Train on the reservoir, a uniform sample of m. 2. Count each of its samples
    N // m times, and one more time the N mod m that come first: whole numbers, so that
    sums stay exact multiples of their unit. 3. Offer all samples held to the new pools.
    """
    old = sketch.settled()
    new = _trained(old, on_epoch)
    kept = old.reservoir.members
    times = torch.from_numpy(shares(old.n, len(kept))).to(new.device)
    for start, part in _chunks(kept):
        embedded = new.embed(samples_from(part, new.generation.schema))
        new.count(embedded, times[start : start + len(part)])
    members = old.members()
    slots, heirs = _moved(members, new)
    _offer(new, slots, heirs)
    heir_of = dict(zip(map(id, members), heirs, strict=True))
    new.is_approximate = len(kept) < old.n
    new.reservoir = old.reservoir.successor(
        [heir_of[id(member)] for member in kept], new.reservoir.size
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
    old = sketch.settled()
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


def shares(n: int, number: int) -> IntArray:
    """Return how often each of number samples counts, so that all sum to n.

    Examples
    --------
    >>> shares(11, 4)
    array([3, 3, 3, 2])
    """
    each, left = divmod(n, number)
    return each + (np.arange(number) < left)


def _trained(old: Sketch, on_epoch: OnEpoch | None) -> Sketch:
    """Return an empty sketch of a generation trained on the reservoir of a settled sketch."""
    if old.n == 0:
        msg = "no sample has been counted yet; there is nothing to train a generation on"
        raise WarmupError(msg)
    generation = train_generation(
        _payloads(old),
        old.config,
        expected_n=_expected_n(old),
        device=old.device,
        features=old.generation.features,
        on_epoch=on_epoch,
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


def _payloads(sketch: Sketch) -> Array:
    """Return the payloads of a reservoir, in its order."""
    return samples_from(sketch.reservoir.members, sketch.generation.schema).x


def _moved(members: Sequence[Member], new: Sketch) -> tuple[IntArray, list[Member]]:
    """Return the slot of each member's cell, -1 for none, and the members with their new z."""
    slots, heirs = [], []
    for _, part in _chunks(members):
        embedded = new.embed(samples_from(part, new.generation.schema))
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
    for _, part in _chunks(placed):
        members = [heir for _, heir in part]
        embedded = new.placed(members)
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
        begun = Watch.begin(new.generation, _payloads(old), seed=new.config.seed)
        sample = new.settled().reservoir.members
        new.watch = begun.looked(new.n, sample, new.generation.partition)


def _remembered(samples: Samples, forgotten: Forgotten) -> Samples:
    """Return the samples whose id has not been forgotten; count the others there."""
    if not len(forgotten):
        return samples
    is_gone = np.array([name in forgotten for name in samples.ids], dtype=bool)
    for member in members_of(samples[np.flatnonzero(is_gone)]):
        forgotten.add(member.id, [member])
    return samples[np.flatnonzero(~is_gone)]


def _chunks(items: Sequence[Item]) -> Iterator[tuple[int, Sequence[Item]]]:
    """Yield parts of a block's size, each with the number of its first item."""
    for start in range(0, len(items), sketches.BLOCK_SIZE):
        yield start, items[start : start + sketches.BLOCK_SIZE]
