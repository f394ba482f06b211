"""Held samples, their order among ties, and their identity."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import total_ordering
from typing import Any

import numpy as np

from echo_stream._common.hashes import digest, hash_ids
from echo_stream._common.typing import Array, FloatArray, Label
from echo_stream.samples.payloads import Payload
from echo_stream.samples.samples import (
    Origin,
    Samples,
    as_objects,
    is_same_label,
    label_of,
    stacked,
)
from echo_stream.samples.validation import SampleSchema

Tie = tuple[int, str, Any]
"""Hash of the id, the id, digest of all else: orders samples independently of arrival."""


@total_ordering
class _Digest:
    """64 bits of BLAKE2b of x, payload, label and origin, computed on first use.

    They decide between samples of the same id, which are rare; to make them takes longer
    than all else that a sample costs on its way into a pool.

    Examples
    --------
    >>> one, other = (_Digest(np.zeros(2), label, None) for label in (1, 2))
    >>> one == one, one == other, one < other or other < one, one == int(one)
    (True, False, True, True)
    """

    __slots__ = ("_content", "_value")

    def __init__(
        self, x: Array, label: Label, origin: Origin | None, payload: Payload = None
    ) -> None:
        self._content: tuple[Array, Label, Origin | None, Payload] | None = (
            x, label, origin, payload,
        )  # fmt: skip
        self._value = 0

    def __int__(self) -> int:
        """Return the digest. O(size of x), once; the sample is released then."""
        content = self._content  # another thread may ask at the same time
        if content is not None:
            x, label, origin, payload = content
            beside = (label, origin) if payload is None else (label, origin, payload)
            self._value = digest(x.data, repr(beside).encode())
            self._content = None
        return self._value

    def __eq__(self, other: object) -> bool:
        """Return whether two digests, or a digest and its number, are the same."""
        return isinstance(other, (_Digest, int)) and int(self) == int(other)

    def __lt__(self, other: "_Digest | int") -> bool:
        """Return whether this one is the smaller."""
        return int(self) < int(other)

    def __hash__(self) -> int:
        """Return the hash of the number."""
        return hash(int(self))


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A sample held by a pool.

    Attributes
    ----------
    id : str
    x : ndarray
        What the sample arrived as, or the vector that an encoder made of its payload; a copy.
    latent : ndarray of shape (d,), float64
        Its z.
    label : int, float, str or None
        As it is known now.
    origin : Origin or None
    tie : tuple
        Breaks ties of distance. Row numbers and offsets are the order of arrival, so
        the id alone would favour the first comers: its hash comes first. It is also the
        sample's identity: members of equal ties are copies of one sample, or the same one
        counted more than once, whichever objects they are.
    vector : ndarray of shape (D,), float32, or None
        Its features; None where x itself is measured.
    sent_label : int, float, str or None
        The label as it arrived: the tie depends on it, so that a late label does not change
        the selection.
    payload : str, bytes or None
        What x was made of, as it arrived; None where that is x.
    """

    id: str
    x: Array
    latent: FloatArray
    label: Label
    origin: Origin | None
    tie: Tie
    vector: Array | None = None
    sent_label: Label = None
    payload: Payload = None

    @property
    def is_relabelled(self) -> bool:
        """Whether another label has come after the sample."""
        return not is_same_label(self.label, self.sent_label)

    @classmethod
    def create(
        cls,
        sample_id: str,
        x: Array,
        latent: FloatArray,
        label: Label,
        origin: Origin | None,
        hashed: int | None = None,
        vector: Array | None = None,
        payload: Payload = None,
    ) -> "Member":
        """Copy a sample out of its batch and give it its tie; hashed is its id's, where known."""
        own = np.array(x, order="C")
        first = int(hash_ids([sample_id])[0]) if hashed is None else hashed
        tie = (first, sample_id, _Digest(own, label, origin, payload))
        kept = None if vector is None else np.array(vector)
        return cls(sample_id, own, np.array(latent), label, origin, tie, kept, label, payload)

    def relabelled(self, label: Label) -> "Member":
        """Return the same sample with a label that came later."""
        return replace(self, label=label)


def members_from(
    samples: Samples,
    latent: FloatArray,
    vectors: Array | None = None,
    hashes: Array | None = None,
) -> list[Member]:
    """Return a member for each row of samples.

    latent has shape (n, d), float64; vectors, where members are to keep them, (n, D); hashes
    of the ids, where they are known, (n,), uint64.
    """
    labels = [None] * len(samples) if samples.labels is None else samples.labels.tolist()
    sent = labels if samples.sent_labels is None else samples.sent_labels.tolist()
    origins = [None] * len(samples) if samples.origins is None else samples.origins
    hashed = (hash_ids(samples.ids) if hashes is None else hashes).tolist()
    kept = [None] * len(samples) if vectors is None else vectors
    payloads = [None] * len(samples) if samples.payloads is None else samples.payloads
    columns = (samples.ids.tolist(), samples.x, latent, sent, origins, hashed, kept, payloads)
    members = [
        Member.create(str(sample_id), x, z, label_of(label), origin, first, vector, payload)
        for sample_id, x, z, label, origin, first, vector, payload in zip(*columns, strict=True)
    ]
    if sent is labels:
        return members
    return [
        member.relabelled(label_of(label)) for member, label in zip(members, labels, strict=True)
    ]


def united(*collections: Iterable[Member]) -> list[Member]:
    """Return the union of several collections of members, in their order.

    A sample that was counted more than once appears as often as in the collection that has it
    most often: the others may have the same copies. O(members).

    Examples
    --------
    >>> a, b = (Member.create(name, np.zeros(2), np.zeros(2), 1, None) for name in "ab")
    >>> [member.id for member in united([a, a], [b, a])]
    ['a', 'a', 'b']
    """
    members: list[Member] = []
    returned: Counter[Tie] = Counter()
    for collection in collections:
        seen: Counter[Tie] = Counter()
        for member in collection:
            seen[member.tie] += 1
            if seen[member.tie] > returned[member.tie]:
                returned[member.tie] += 1
                members.append(member)
    return members


def copies(members: Iterable[Member]) -> Counter[Tie]:
    """Return how often each sample is among members, by its tie."""
    return Counter(member.tie for member in members)


def cross_off(member: Member, left: Counter[Tie]) -> bool:
    """Subtract one copy of a sample from a count of copies; tell whether there was one."""
    if not left[member.tie]:
        return False
    left[member.tie] -= 1
    return True


def members_of(samples: Samples | None) -> list[Member]:
    """Return a member for each row of samples that have not been embedded; none for None."""
    return [] if samples is None else members_from(samples, np.zeros((len(samples), 0)))


def samples_from(members: Sequence[Member], schema: SampleSchema) -> Samples:
    """Return members as a batch of the given schema."""
    return Samples(
        x=stacked([member.x for member in members], schema.shape, schema.dtype),
        ids=as_objects([member.id for member in members]),
        labels=as_objects([member.label for member in members]),
        origins=as_objects([member.origin for member in members]),
        sent_labels=_sent_labels(members),
        payloads=_payloads(members),
    )


def _sent_labels(members: Sequence[Member]) -> Array | None:
    """Return the labels that arrived, None where they are the current ones."""
    if not any(member.is_relabelled for member in members):
        return None
    return as_objects([member.sent_label for member in members])


def _payloads(members: Sequence[Member]) -> Array | None:
    """Return the payloads of members, None where no member has one."""
    if all(member.payload is None for member in members):
        return None
    return as_objects([member.payload for member in members])


def detached(tie: Tie) -> Tie:
    """Return a tie that does not refer to its sample, which may have to be forgotten."""
    return tie[0], tie[1], int(tie[2])


def tie_to_json(tie: Tie) -> list[str]:
    """Return a tie as JSON: its hashes do not fit JSON numbers."""
    return [str(tie[0]), tie[1], str(int(tie[2]))]


def tie_from_json(stored: Sequence[str]) -> Tie:
    """Return the tie that `tie_to_json` described."""
    return int(stored[0]), stored[1], int(stored[2])
