"""What can be done to samples that an engine has counted: they are forgotten, or labelled."""

from typing import Any

from echo_stream.engine.estimator import EngineEstimator
from echo_stream.samples.changes import Change, LateLabel
from echo_stream.samples.validation import check_texts
from echo_stream.sketch.late_labels import late_labels


class ChangingEstimator(EngineEstimator):
    """The verbs of `EchoCoreset` for samples that are known by their ids."""

    def forget(self, sample_id: object) -> int:
        """Take the samples of an id out of counts, sums, witnesses and pools, exactly.

        Parameters
        ----------
        sample_id : int or str

        Returns
        -------
        int
            How many were taken out. 0: none is held. A sample that was dropped cannot be
            told from one never seen; it stays in the sums, and the snapshot's manifest
            counts the id as missed, until the source is read again. So it does where sums
            are estimates since a generation was trained again: only payloads go then.

        Notes
        -----
        O(retained). The id's hash is kept: later readings of the source skip it, and take
        out what has been sent again under it.
        """
        self._progress = self._current
        return self._progress.forget(str(sample_id))

    def label(self, ids: Any, labels: Any) -> int:
        """Set the labels of samples that came before, wherever they are held.

        Parameters
        ----------
        ids : int, str, or array of shape (n,)
        labels : int, float, str, or array of shape (n,)
            None of them unknown. Of several for one id the last one counts.

        Returns
        -------
        int
            For how many of the ids a sample is held. The others are counted as missed, in
            the manifests of snapshots.

        Raises
        ------
        DataError, ShapeError
            If ids or labels cannot be used; nothing has been labelled then.

        Notes
        -----
        O(retained + n pool). Labels never choose: the coreset has the same rows, with the
        same weights and certificates. Samples keep them through regeneration and repair.
        """
        pairs = late_labels(ids, labels)
        self._progress = self._current
        check_texts("label", [label for _, label in pairs], self._progress.config.max_text_bytes)
        return sum([self._progress.label(LateLabel(*pair)) for pair in pairs])

    def holds(self, sample_id: object) -> bool:
        """Tell whether a sample of an id is held. O(retained) once, then O(1)."""
        return self._current.holds(str(sample_id))

    def change(self, change: Change) -> None:
        """Do what a stream asks for: set a label, or forget an id; misses are counted."""
        self._progress = self._current
        if isinstance(change, LateLabel):
            self._progress.label(change)
        else:
            self._progress.forget(change.id, change.origin)

    def settle_changes(self) -> None:
        """Let labels and wishes to forget reach nothing that comes from now on.

        For the merge of all parts of a stream, before others go on with it.
        """
        self._progress = self._current
        self._progress.settle_changes()

    def change_counts(self) -> dict[str, int]:
        """Return how many samples were labelled late, forgotten and replaced, or missed.

        Named as in a snapshot's manifest.
        """
        return self._current.change_counts()
