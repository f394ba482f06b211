"""What numbers of a result are shown as, and which of them are scores."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """How a number of a line is shown.

    Attributes
    ----------
    words : str
    scale : float
        Makes per cent of shares.
    is_score : bool
        Whether more is better; ranks and differences are of scores alone.
    is_outcome : bool
        Whether a score is one that a model ends with, and so won or lost.
    """

    words: str
    scale: float = 100.0
    is_score: bool = True
    is_outcome: bool = True

    @property
    def is_judged(self) -> bool:
        """Whether wins and losses by it are listed."""
        return self.is_score and self.is_outcome


METRICS = {
    "accuracy": Metric("accuracy after the last step, %"),
    "best_accuracy": Metric(
        "best accuracy along the curve, %: peeks at the test set", is_outcome=False
    ),
    "balanced_accuracy": Metric("balanced accuracy, %"),
    "worst_accuracy": Metric("accuracy of the worst class, %"),
    "rare_recall": Metric("recall of the rarest class, %"),
    "explained": Metric("facility-location value, % of the variance explained", is_outcome=False),
    "warmup_share": Metric("samples held back to learn from, % of the stream", is_score=False),
    "retained_share": Metric("samples kept at the end, % of the stream", is_score=False),
    "num_filled": Metric("rows of a uniform sample, to fill up", 1.0, is_score=False),
    "certified_fraction": Metric("rows proven to be the batch choice, %", is_score=False),
    "regenerations": Metric("new generations trained along the stream", 1.0, is_score=False),
    "selection_cpu_s": Metric("processor time of the selection, s", 1.0, is_score=False),
}
