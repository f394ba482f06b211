"""Hold out samples of a stream to test models on; they are never in the coreset."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from echo_stream._common.hashes import hash_ids, seeded
from echo_stream._common.typing import Array, State
from echo_stream.config import MAX_HELD_OUT, EngineConfig
from echo_stream.samples.changes import LateLabel
from echo_stream.samples.forgotten import Forgotten
from echo_stream.samples.label_log import LabelLog
from echo_stream.samples.members import members_of, samples_from
from echo_stream.samples.samples import Origin, Samples
from echo_stream.samples.validation import SampleSchema
from echo_stream.sketch.merging import labels_reaching, to_forget
from echo_stream.sketch.pools.reservoir import Reservoir
from echo_stream.sketch.state import columns_to_json, samples_from_state, samples_to_arrays

_SALT = 0x686F6C64  # so that held-out ids are independent of those in the reservoir
_HASHES = 2**64


class HeldOut:
    """A share of the ids, chosen by their hash, and a bounded uniform sample of theirs.

    Which ids are held out does not depend on the order of arrival, on restarts or on the
    process: an id is always held out, or never. Of these the samples with the smallest hashes
    are held, so that two parts of a stream can be merged.

    Parameters
    ----------
    config : EngineConfig
        Its `holdout`, `seed` and `on_duplicate`.

    Attributes
    ----------
    num_taken : int
        Samples held out so far, those no longer held included.

    Examples
    --------
    >>> held_out = HeldOut(EngineConfig(holdout=0.5))
    >>> rest = held_out.take(Samples(x=np.zeros((100, 2)), ids=np.arange(100)))
    >>> len(rest) + len(held_out), held_out.is_for("7") == (7 not in rest.ids)
    (100, True)
    """

    def __init__(self, config: EngineConfig) -> None:
        self.num_taken = 0
        self._share, self._seed = config.holdout, config.seed
        self._replaces = config.on_duplicate == "replace"
        self._pool = Reservoir(MAX_HELD_OUT, config.seed)
        self._forgotten, self._label_log = Forgotten(), LabelLog()  # for the parts of others

    def __len__(self) -> int:
        """Return the number of samples held."""
        return len(self._pool)

    def __contains__(self, sample_id: str) -> bool:
        """Return whether a sample of an id is held."""
        return bool(self._pool.of(sample_id))

    @property
    def schema(self) -> SampleSchema | None:
        """Shape and dtype of what is held; None where nothing is."""
        members = self._pool.members
        return SampleSchema.of(members[0].x[None]) if members else None

    def is_for(self, sample_id: str) -> bool:
        """Return whether the samples of an id are held out."""
        return bool(self._share) and bool(self._chosen([sample_id])[0])

    def take(self, samples: Samples) -> Samples:
        """Hold out samples of chosen ids, and return the rest. O(n + taken log size)."""
        if not self._share or not len(samples):
            return samples
        chosen = self._chosen(samples.ids)
        if not chosen.any():
            return samples
        members = members_of(samples[np.flatnonzero(chosen)])
        self.num_taken += len(members)
        for member in members:
            if self._replaces:
                self._pool.forget(member.id)
            self._pool.offer([member])
        return samples[np.flatnonzero(~chosen)]

    def forget(self, sample_id: str, origin: Origin | None = None) -> int:
        """Remove the samples of an id and return their number; origin: see `Forgotten`."""
        gone = self._pool.of(sample_id)
        self._pool.forget(sample_id)
        self._label_log.drop(sample_id)
        if origin is not None:
            self._forgotten.add(sample_id, gone, origin)
        return len(gone)

    def label(self, late: LateLabel) -> bool:
        """Set the label of the samples of an id; return whether any is held."""
        found = self._pool.of(late.id)
        for member in found:
            self._pool.swap(member.relabelled(late.label))
        if late.origin is None:
            self._label_log.drop(late.id)
        else:
            self._label_log.note(late.id, late.label, late.origin, is_matched=bool(found))
        return bool(found)

    def merge(self, other: "HeldOut") -> int:
        """Add what another part of the stream has held out; other is left unchanged.

        Returns how many late labels matched samples of the other part.
        """
        other = other.copy()
        num_matched = self._apply_changes_of(other) + other._apply_changes_of(self)
        self.num_taken += other.num_taken
        self._pool.merge(other._pool)
        self._forgotten.merge(other._forgotten)
        self._label_log.merge(other._label_log)
        return num_matched

    def expire_changes(self) -> None:
        """Stop applying earlier labels and requests to forget to samples that arrive later."""
        self._forgotten.expire()
        self._label_log = LabelLog()

    def _apply_changes_of(self, other: "HeldOut") -> int:
        """Apply the changes of another part; return how many of its missed labels matched."""
        self._pool.take_out(to_forget(self._pool.members, other._forgotten))
        num_matched = 0
        for member, late, is_newer in labels_reaching(
            self._pool.members, self._label_log, other._label_log
        ):
            num_matched += other._label_log.mark_matched(member.id, member.origin)
            if is_newer:
                self._pool.swap(member.relabelled(late.label))
        return num_matched

    def copy(self) -> "HeldOut":
        """Return an independent copy that shares the samples, which never change."""
        copied = copy(self)
        copied._pool, copied._label_log = self._pool.copy(), self._label_log.copy()
        copied._forgotten = Forgotten()
        copied._forgotten.merge(self._forgotten)
        return copied

    def samples(self) -> Samples | None:
        """Return what is held, in order of hash; None where nothing is."""
        schema = self.schema
        return None if schema is None else samples_from(self._pool.members, schema)

    def to_state(self) -> State:
        """Return everything held as named arrays and JSON."""
        samples = self.samples()
        meta: dict[str, Any] = {
            "num_taken": self.num_taken,
            "limit": self._pool.limit_to_json(),
            "columns": None if samples is None else columns_to_json(samples),
            "forgotten": self._forgotten.to_json(),
            "late_labels": self._label_log.to_json(),
        }
        return {} if samples is None else samples_to_arrays(samples), meta

    def restore(self, state: State) -> None:
        """Restore what `to_state` returned; the object must be empty."""
        arrays, meta = state
        self.num_taken = meta["num_taken"]
        self._forgotten.restore(meta["forgotten"])
        self._label_log.restore(meta["late_labels"])
        columns = meta["columns"]
        held = None if columns is None else samples_from_state(arrays, columns)
        self._pool.restore(members_of(held), meta["limit"])

    def _chosen(self, ids: Sequence[object] | Array) -> Array:
        """Tell which ids are held out, as an array of shape (n,), bool."""
        limit = np.uint64(int(self._share * _HASHES))
        return np.asarray(seeded(hash_ids(ids), self._seed ^ _SALT) < limit)
