"""Labels that arrive after their samples."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from echo_stream._common.typing import Label
from echo_stream.errors import DataError
from echo_stream.samples.members import Member
from echo_stream.samples.samples import label_of
from echo_stream.samples.validation import as_samples
from echo_stream.sketch.member_index import MemberIndex


def checked_labels(ids: Any, labels: Any) -> list[tuple[str, Label]]:
    """Return checked pairs of id, as text, and label; of one id, or of as many as there are.

    Raises
    ------
    ShapeError
        If there are not as many labels as ids.
    DataError
        If an id or a label is invalid, or a label is unknown: None or NaN.
    """
    if np.ndim(ids) == 0:
        ids, labels = [ids], [labels]
    named = as_samples(np.zeros((len(ids), 1)), labels, ids)
    assert named.labels is not None
    known = [label_of(label) for label in named.labels.tolist()]
    if None in known:
        msg = f"the label in row {known.index(None)} is unknown; leave out ids without a label"
        raise DataError(msg)
    return [(str(name), label) for name, label in zip(named.ids.tolist(), known, strict=True)]


class LateLabels:
    """The late labels of held samples, by sample.

    They are set again when these samples are read again from their source, which does not
    have them.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self._labels: dict[str, list[tuple[int, Label]]] = {}
        for member in members:
            if member.is_relabelled:
                known = self._labels.setdefault(member.id, [])
                known.append((int(member.tie[2]), member.label))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._labels)

    def apply(self, members: Sequence[Member]) -> list[Member]:
        """Return members that were read again, with their late labels."""
        return [self._labelled(member) for member in members]

    def apply_to(self, index: MemberIndex) -> None:
        """Set the labels of the members of an index that are the same samples."""
        for name in self._labels:
            for member in index.of(name):
                index.swap(self._labelled(member))

    def _labelled(self, member: Member) -> Member:
        """Return a member with its late label, if it has one."""
        for digest, label in self._labels.get(member.id, ()):
            if member.tie[2] == digest:
                return member.relabelled(label)
        return member
