"""Merge sketches of two parts of a stream.

Pending changes of either part, labels and ids to forget, are applied to the samples of both
before they are merged: in whichever order several parts are merged, each sample gets the
pending changes of every other part once.
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
_SKETCH_SETTINGS = (
    "budget", "preset", "rank", "support", "support_share", "balance", "demand_power",
    "min_distance", "on_duplicate", "seed",
)  # fmt: skip


def merge(sketch: Sketch, other: Sketch) -> None:
    """Add other to a sketch; other is left unchanged. O(M D + pools).

    Both tails are applied, and the pending changes of each to the samples of the other.

    Raises
    ------
    ConfigError
        If the two differ in generation or configuration, naming what differs.
    """
    _check_mergeable(sketch, other)
    sketch.prepare_merge(other)
    # 1. Apply the pending changes of each side to the samples of the other.
    other = other.flushed()
    sketch.flush()
    other, gone = _apply_pending_changes(sketch, other)
    labels = _resolved_labels(sketch, other)
    # 2. Add up sums, pools and counts.
    sketch.merge_cells(other)
    sketch.forgotten.merge(other.forgotten)
    sketch.forgotten.note(gone)
    sketch.changes.merge(other.changes)
    sketch.label_counts.merge(other.label_counts)
    sketch.num_applied += other.num_applied
    sketch.release_index()
    # 3. Resolve late labels on which the two differ.
    for name, label in labels.items():
        sketch.index.label(name, label)
    sketch.former_generations = max(
        sketch.former_generations, other.former_generations, key=lambda ids: (len(ids), ids)
    )


def _check_mergeable(a: Sketch, b: Sketch) -> None:
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
    different = _different(a.config, b.config, (*_SKETCH_SETTINGS, "keep"))
    if different:
        msg = f"cannot merge sketches of different configurations ({different})"
        raise ConfigError(msg)


def check_restorable(stored: EngineConfig, given: EngineConfig) -> None:
    """Refuse to continue with other settings than those that a sketch was made with.

    A larger budget would need samples that its pools have dropped. With another `keep` adaptive
    cells go on: what is too many is dropped at once, and more are held from then on.

    Raises
    ------
    ConfigError
        Naming what differs.
    """
    different = _different(stored, given, _SKETCH_SETTINGS)
    if different:
        msg = (
            f"the stored engine cannot continue with other settings (stored and given: "
            f"{different}); give the stored ones, or count the data again with a new engine"
        )
        raise ConfigError(msg)


def _different(a: EngineConfig, b: EngineConfig, settings: Sequence[str]) -> str:
    """Return those of some settings in which two configurations differ, with both values."""
    return ", ".join(
        f"{name}: {x!r} and {y!r}" for name, (x, y) in a.differences(b).items() if name in settings
    )


def _apply_pending_changes(sketch: Sketch, other: Sketch) -> tuple[Sketch, list[Member]]:
    """Apply the pending changes of two flushed sketches to each other's samples. O(held).

    Returns
    -------
    other : Sketch
        The same, or a copy that has been changed.
    gone : list of Member
        Samples removed from either, to be recorded when they are merged.
    """
    if not (sketch.has_pending_changes or other.has_pending_changes):
        return other, []
    other = other.copy()
    gone = [*_take_out(sketch, other.forgotten), *_take_out(other, sketch.forgotten)]
    _label(sketch, other)
    _label(other, sketch)
    return other, gone


def labels_reaching(
    members: Sequence[Member], own: LabelLog, foreign: LabelLog
) -> Iterator[tuple[Member, LoggedLabel, bool]]:
    """Yield members that a label of another part reaches, the label, and whether it is newer.

    It is not where the member's own part has a later one.
    """
    if not len(foreign):
        return
    for member in members:
        late = foreign.newest(member.id, member.origin)
        if late is not None:
            known = own.newest(member.id, member.origin)
            yield member, late, known is None or late.is_after(known)


def to_forget(members: Sequence[Member], foreign: Forgotten) -> list[Member]:
    """Return the members that another part has forgotten."""
    return [member for member in members if foreign.reaches(member)] if len(foreign) else []


def _take_out(sketch: Sketch, foreign: Forgotten) -> list[Member]:
    """Remove from a sketch what another one has forgotten; return the removed members."""
    return sketch.drop(to_forget(sketch.members(), foreign))


def _label(sketch: Sketch, other: Sketch) -> None:
    """Set the labels of another sketch, which counts them as matched."""
    found = labels_reaching(sketch.members(), sketch.changes.label_log, other.changes.label_log)
    for member, late, is_newer in found:
        other.changes.count_matched(member.id, member.origin)
        if is_newer:
            sketch.index.swap(member.relabelled(late.label))


def _resolved_labels(sketch: Sketch, other: Sketch) -> dict[str, Label]:
    """Return one late label for each id that two sketches hold and one has labelled.

    Of several labels the larger one; numbers are smaller than text. Which came last is unknown
    unless it is logged: logged ids are left out.
    """
    mine, theirs = sketch.members(), other.members()
    shared = {member.id for member in mine} & {member.id for member in theirs}
    logs = sketch.changes.label_log, other.changes.label_log
    shared = {name for name in shared if not any(name in log for log in logs)}
    late: dict[str, list[Label]] = {}
    for member in (*mine, *theirs):
        if member.is_relabelled and member.id in shared:
            late.setdefault(member.id, []).append(member.label)
    return {name: larger_label(labels) for name, labels in late.items()}
