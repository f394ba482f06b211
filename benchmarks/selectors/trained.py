"""Choices by what a model finds hard that has been trained for a few epochs on all labels.

All six train the data set's own model on the whole training set, so that `labels_seen` is all
of it: they are selectors for who has every label and wants to train on less. Options: `epochs`
(10), `models` (1; scores are averaged over so many), `lr` (Adam's), `device`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen, Timed, paid, timed
from echo_stream._common.device import reproducible, resolve_device
from echo_stream._common.typing import Array, BoolArray, FloatArray, IntArray
from echo_stream.samples.tensors import model_shape, to_input
from echo_stream.training.models import build_model


def least_confidence(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the largest probability is smallest. Source: Lewis & Gale (1994), SIGIR."""
    return _highest(lambda s: -s.probabilities.max(axis=1), data, budget, seed, options)


def entropy(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the entropy of the probabilities is largest."""
    return _highest(lambda s: _entropy(s.probabilities), data, budget, seed, options)


def margin(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the two largest probabilities are nearest to each other.

    Source: Scheffer et al. (2001), "Active hidden Markov models for information extraction".
    """
    return _highest(lambda s: -_margin(s.probabilities), data, budget, seed, options)


def el2n(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the probabilities are farthest from the label, in Euclidean distance.

    Source: Paul, Ganguli & Dziugaite (2021), "Deep learning on a data diet", NeurIPS.
    """
    return _highest(lambda s: s.errors, data, budget, seed, options)


def grand(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose where the gradient of the loss is longest: that of the last layer's parameters.

    The paper takes all parameters; the last layer's is what others compute of it, and the
    exact length there. Source: the same as of EL2N.
    """
    return _highest(lambda s: s.gradients, data, budget, seed, options)


def forgetting(data: DataSet, budget: int, seed: int, options: dict[str, Any]) -> Chosen:
    """Choose what has most often been right, and then wrong at its next turn.

    What has never been right goes before all. Source: Toneva et al. (2019), "An empirical
    study of example forgetting during deep neural network learning", ICLR.
    """
    return _highest(lambda s: s.forgotten, data, budget, seed, options)


def _highest(
    score: "Callable[[Scores], FloatArray]",
    data: DataSet,
    budget: int,
    seed: int,
    options: dict[str, Any],
) -> Chosen:
    """Choose the rows of the highest score, ties at random."""
    scored, spent = paid(scores, data, seed, **options)
    found = score(scored)
    ties = np.random.default_rng(seed).random(len(found))
    core = np.lexsort((ties, -found))[:budget]
    return Chosen(core, info={"labels_seen": len(found)}, spent_before=spent)


def _entropy(probabilities: FloatArray) -> FloatArray:
    """Return the entropy of rows of probabilities, in nats."""
    return np.asarray(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1))


def _margin(probabilities: FloatArray) -> FloatArray:
    """Return by how much the largest probability of each row exceeds the second."""
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return np.asarray(first - second)


BATCH = 256
EPOCHS = 10
LR = {"lenet": 1e-3, "resnet18": 1e-3, "logistic": 5e-2}  # of Adam; a linear model bears more


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of n samples with C classes, averaged over models.

    Attributes
    ----------
    probabilities : ndarray of shape (n, C), float64
        After the last epoch.
    errors : ndarray of shape (n,), float64
        Distance of the probabilities to the label, one-hot.
    gradients : ndarray of shape (n,), float64
        Length of the gradient of cross-entropy by the last layer's weights and biases.
    forgotten : ndarray of shape (n,), float64
        How often a sample was right, and wrong at its next turn; infinite if never right.
    """

    probabilities: FloatArray
    errors: FloatArray
    gradients: FloatArray
    forgotten: FloatArray


@lru_cache(maxsize=1)  # six selectors and every budget choose by the same scores
def scores(
    data: DataSet,
    seed: int,
    *,
    epochs: int = EPOCHS,
    models: int = 1,
    lr: float | None = None,
    device: str = "auto",
) -> Timed[Scores]:
    """Train models on the training set, and return what they say of it.

    Each has its own initial weights and its own order of samples.
    """
    rate = LR[data.model] if lr is None else lr

    def averaged() -> Scores:
        runs = [
            _Run(data, resolve_device(device), (seed, number)).scores(epochs, rate)
            for number in range(models)
        ]
        names = [field.name for field in fields(Scores)]
        return Scores(*(np.mean([getattr(run, name) for run in runs], axis=0) for name in names))

    return timed(averaged)


class _Run:
    """One training, and what is noted along it."""

    def __init__(self, data: DataSet, device: torch.device, seed: tuple[int, int]) -> None:
        self._x, self._y = data.x_train, data.y_train
        self._shape = model_shape(data.x_train.shape[1:])
        self._num_classes = int(max(data.y_train.max(), data.y_test.max())) + 1
        self._spec = data.model
        self._device = device
        self._seed = int(np.random.default_rng(seed).integers(2**31))
        self._rng = np.random.default_rng(seed)

    def scores(self, epochs: int, lr: float) -> Scores:
        """Train, and measure all samples at the end."""
        with reproducible(self._device, seed=self._seed):
            model = build_model(self._spec, self._shape, self._num_classes).to(self._device)
            forgotten = self._train(model, epochs, lr)
            logits, inputs = self._measure(model.eval())
        probabilities = logits.softmax(dim=1).numpy()
        errors = np.linalg.norm(probabilities - np.eye(self._num_classes)[self._y], axis=1)
        gradients = last_layer_gradients(errors, inputs.numpy())
        return Scores(probabilities, errors, gradients, forgotten)

    def _train(self, model: nn.Module, epochs: int, lr: float) -> FloatArray:
        """Train in place, and return how often each sample was forgotten."""
        optimiser = torch.optim.Adam(model.parameters(), lr=lr)
        memory = Forgetting(len(self._y))
        model.train()
        for _ in range(epochs):
            for rows in np.array_split(
                self._rng.permutation(len(self._y)), -(-len(self._y) // BATCH)
            ):
                x, y = self._batch(rows)
                logits = model(x)
                memory.note(rows, (logits.argmax(dim=1) == y).cpu().numpy())
                optimiser.zero_grad()
                nn.functional.cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
                optimiser.step()
        return memory.counts()

    def _measure(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Return logits (n, C) and the inputs of the last layer (n, h), float64, on the host."""
        last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
        inputs: list[Tensor] = []
        hook = last.register_forward_pre_hook(lambda _, given: inputs.append(given[0].cpu()))
        with torch.no_grad():
            logits = [
                model(self._batch(np.arange(start, min(start + BATCH, len(self._y))))[0]).cpu()
                for start in range(0, len(self._y), BATCH)
            ]
        hook.remove()
        return torch.cat(logits).double(), torch.cat(inputs).double()

    def _batch(self, rows: IntArray) -> tuple[Tensor, Tensor]:
        """Return samples and labels of some rows, on the device."""
        x: Array = self._x[rows]
        y = torch.from_numpy(self._y[rows])
        return to_input(x, self._shape).to(self._device), y.to(self._device)


class Forgetting:
    """How often each of n samples was right, and wrong at its next turn.

    Examples
    --------
    >>> memory = Forgetting(3)
    >>> for is_right in ([True, False, False], [False, True, False], [True, True, False]):
    ...     memory.note(np.arange(3), np.array(is_right))
    >>> memory.counts().tolist()
    [1.0, 0.0, inf]
    """

    def __init__(self, n: int) -> None:
        self._was_right, self._ever_right = np.zeros(n, bool), np.zeros(n, bool)
        self._counts = np.zeros(n)

    def note(self, rows: IntArray, is_right: BoolArray) -> None:
        """Note which of some samples a model gets right at their turn."""
        self._counts[rows] += self._was_right[rows] & ~is_right
        self._was_right[rows] = is_right
        self._ever_right[rows] |= is_right

    def counts(self) -> FloatArray:
        """Return how often each was forgotten; infinity where it was never right."""
        return np.where(self._ever_right, self._counts, np.inf)


def last_layer_gradients(errors: FloatArray, inputs: FloatArray) -> FloatArray:
    """Return the length of the gradient of cross-entropy by the last layer, for each sample.

    By its weights it is the outer product of p - y and the layer's inputs h, by its biases
    p - y: as long as |p - y| sqrt(|h|^2 + 1).
    """
    return np.asarray(errors * np.sqrt(np.square(inputs).sum(axis=1) + 1))
