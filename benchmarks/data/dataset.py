"""A data set in memory."""

from dataclasses import dataclass, replace

from echo_stream._common.typing import Array, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Training and test samples with their labels.

    Attributes
    ----------
    name : str
        What it was asked for by, suffixes included.
    x_train, x_test : ndarray of shape (n, ...)
        Images as uint8, (n, h, w) or (n, c, h, w); vectors as float32, (n, D).
    y_train, y_test : ndarray of shape (n,), int64
    model : {"lenet", "resnet18", "logistic"}
        What is trained on it.
    is_embedding : bool
        Whether x is a vector in which distances mean something, as it is.
    """

    name: str
    x_train: Array
    y_train: IntArray
    x_test: Array
    y_test: IntArray
    model: str
    is_embedding: bool

    def part(self, rows: IntArray) -> "DataSet":
        """Return some rows of the training set, in the order given, beside the same test set."""
        return replace(self, x_train=self.x_train[rows], y_train=self.y_train[rows])
