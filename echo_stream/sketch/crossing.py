"""What one engine's part of a stream asks of samples that another engine has counted.

Done to both sides before they are merged: whichever order several are merged in, a sample
meets the wishes and labels of every other part once.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_log import LabelLog, LoggedLabel
from echo_stream.samples.members import Member

if TYPE_CHECKING:
    from echo_stream.sketch.sketch import Sketch


def cross(sketch: "Sketch", other: "Sketch") -> tuple["Sketch", list[Member]]:
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


def _take_out(sketch: "Sketch", foreign: Forgotten) -> list[Member]:
    """Take out of a sketch what another one has been asked to forget; return what is gone."""
    return sketch.drop(to_forget(sketch.members(), foreign))


def _label(sketch: "Sketch", other: "Sketch") -> None:
    """Set the labels that stand in the part of another sketch, which counts them as met."""
    found = late_labels(sketch.members(), sketch.changes.labels, other.changes.labels)
    for member, late, is_news in found:
        other.changes.note_met(member.id, member.origin)
        if is_news:
            sketch.held.swap(member.relabelled(late.label))
