"""Merge sketches of two parts of a stream.

What either part was asked to forget or to label is done to the samples of both before they
are merged: whichever order several are merged in, a sample meets the pending changes of
every other part once.
"""

from collections.abc import Iterator, Sequence

from echo_stream._common.typing import Label
from echo_stream.config import EngineConfig
from echo_stream.errors import ConfigError
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_log import LabelLog, LoggedLabel
from echo_stream.samples.members import Member
from echo_stream.samples.samples import larger_label
from echo_stream.sketch.sketch import Sketch

# The rest shapes the generation only.
SKETCH_SETTINGS = (
    "budget", "preset", "rank", "support", "support_share", "balance", "on_duplicate", "seed"
)  # fmt: skip


def merge(sketch: Sketch, other: Sketch) -> None:
    """Absorb other into a sketch; other is left unchanged. O(M D + pools).

    Both tails are applied. What either was asked to forget or to label, it is done to the
    other's samples too.

    Raises
    ------
    ConfigError
        If the two differ in generation or configuration, naming what differs.
    """
    check_mergeable(sketch, other)
    sketch.meet_classes(other.classes_met())
    # 1. Let pending changes of each side reach the samples of the other one.
    other = other.settled()
    sketch.settle()
    other, gone = cross(sketch, other)
    labels = merged_labels(sketch, other)
    # 2. Add up sums, pools and counts.
    slots = sketch.table.merge(other.table)
    sketch.pools.merge(sketch.table, other.pools, slots.cpu().numpy())
    sketch.reservoir.merge(other.reservoir)
    sketch.witnesses.merge(other.witnesses)
    sketch.forgotten.merge(other.forgotten)
    sketch.forgotten.note(gone)
    sketch.changes.merge(other.changes)
    sketch.labels.merge(other.labels)
    sketch.num_applied += other.num_applied
    sketch.release_index()
    # 3. Settle what the two say differently.
    for name, label in labels.items():
        sketch.held.label(name, label)
    sketch.is_approximate |= other.is_approximate
    sketch.former_generations = max(
        sketch.former_generations, other.former_generations, key=lambda ids: (len(ids), ids)
    )
    _watch_on(sketch, other)


def _watch_on(sketch: Sketch, other: Sketch) -> None:
    """Go on looking for drift after a merge, from the counts of now."""
    watches = [side.watch for side in (sketch, other) if side.watch is not None]
    if watches:
        sketch.watch = min(watches, key=lambda watch: watch.radius).looked(
            sketch.n, sketch.reservoir.members, sketch.generation.partition
        )


def check_mergeable(a: Sketch, b: Sketch) -> None:
    """Refuse sketches of different generations or configurations.

    Raises
    ------
    ConfigError
        Naming what differs.
    """
    if a.generation.id != b.generation.id:
        msg = (
            f"cannot merge sketches of generations {a.generation.id} and "
            f"{b.generation.id}; give both engines the same generation"
        )
        raise ConfigError(msg)
    different = _different(a.config, b.config)
    if different:
        msg = f"cannot merge sketches of different configurations ({different})"
        raise ConfigError(msg)


def check_restorable(stored: EngineConfig, given: EngineConfig) -> None:
    """Refuse to go on with other settings than those that a sketch was made with.

    A larger budget would need samples that its pools have dropped.

    Raises
    ------
    ConfigError
        Naming what differs.
    """
    different = _different(stored, given)
    if different:
        msg = (
            f"the stored engine cannot go on with other settings (stored and given: {different}); "
            "give the stored ones, or count the data again with a new engine"
        )
        raise ConfigError(msg)


def _different(a: EngineConfig, b: EngineConfig) -> str:
    """Return the settings of a sketch in which two configurations differ, with both values."""
    return ", ".join(
        f"{name}: {x!r} and {y!r}"
        for name, (x, y) in a.differences(b).items()
        if name in SKETCH_SETTINGS
    )


def cross(sketch: Sketch, other: Sketch) -> tuple[Sketch, list[Member]]:
    """Let what two settled sketches were asked reach each other's samples. O(retained).

    Returns
    -------
    other : Sketch
        The same, or a copy that has been changed.
    gone : list of Member
        What was taken out of either; to be noted when they are merged.
    """
    if not (sketch.has_wishes or other.has_wishes):
        return other, []
    other = other.copy()
    gone = [*_take_out(sketch, other.forgotten), *_take_out(other, sketch.forgotten)]
    _label(sketch, other)
    _label(other, sketch)
    return other, gone


def late_labels(
    members: Sequence[Member], own: LabelLog, foreign: LabelLog
) -> Iterator[tuple[Member, LoggedLabel, bool]]:
    """Yield members that a label of another part reaches, the label, and whether it is news.

    It is none where a later one has come in the member's own part.
    """
    if not len(foreign):
        return
    for member in members:
        late = foreign.newest(member.id, member.origin)
        if late is not None:
            known = own.newest(member.id, member.origin)
            yield member, late, known is None or late.is_after(known)


def to_forget(members: Sequence[Member], foreign: Forgotten) -> list[Member]:
    """Return the members that another part asks to be forgotten."""
    return [member for member in members if foreign.reaches(member)] if len(foreign) else []


def _take_out(sketch: Sketch, foreign: Forgotten) -> list[Member]:
    """Take out of a sketch what another one has been asked to forget; return what is gone."""
    return sketch.drop(to_forget(sketch.members(), foreign))


def _label(sketch: Sketch, other: Sketch) -> None:
    """Set the labels that stand in the part of another sketch, which counts them as met."""
    found = late_labels(sketch.members(), sketch.changes.labels, other.changes.labels)
    for member, late, is_news in found:
        other.changes.note_met(member.id, member.origin)
        if is_news:
            sketch.held.swap(member.relabelled(late.label))


def merged_labels(sketch: Sketch, other: Sketch) -> dict[str, Label]:
    """Return the labels of ids that two sketches hold, where a label came late to either.

    Of several the larger one, numbers before text: which came last nobody knows, unless it
    is logged; those are left out here.
    """
    mine, theirs = sketch.members(), other.members()
    shared = {member.id for member in mine} & {member.id for member in theirs}
    logs = sketch.changes.labels, other.changes.labels
    shared = {name for name in shared if not any(name in log for log in logs)}
    late: dict[str, list[Label]] = {}
    for member in (*mine, *theirs):
        if member.is_relabelled and member.id in shared:
            late.setdefault(member.id, []).append(member.label)
    return {name: larger_label(labels) for name, labels in late.items()}
