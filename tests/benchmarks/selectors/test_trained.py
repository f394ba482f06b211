"""Selectors that ask a trained model, on samples of which it is known what they should say."""

import numpy as np
import pytest
import torch

from benchmarks.data import DataSet
from benchmarks.evaluation.choosing import choose, loaded
from benchmarks.evaluation.trial import Trial
from benchmarks.selectors import select
from benchmarks.selectors.trained import last_layer_gradients, scores


def between_and_mislabelled() -> DataSet:
    """Return two clusters on a line, then a sample between them, and one with a wrong label."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    x = (4.0 * y + 0.2 * rng.normal(size=200) - 2)[:, None].astype(np.float32)
    x, y = np.concatenate([x, [[0.0], [-2.5]]]).astype(np.float32), np.append(y, [0, 1])
    return DataSet("toy", x, y, x, y, "logistic", True)


@pytest.mark.parametrize("name", ["least-confidence", "entropy", "margin"])
def test_uncertainty_takes_what_lies_between(name: str) -> None:
    """Whatever its label is."""
    data = between_and_mislabelled().part(np.arange(201))
    chosen = select(name, data, 1, 0, {"epochs": 30})
    assert chosen.core.tolist() == [200]
    assert chosen.info["labels_seen"] == 201


@pytest.mark.parametrize("name", ["el2n", "grand", "forgetting"])
def test_difficulty_takes_what_is_mislabelled(name: str) -> None:
    """It is never right, and the farther off the surer the model is of the others."""
    chosen = select(name, between_and_mislabelled(), 1, 0, {"epochs": 30, "models": 2})
    assert chosen.core.tolist() == [201]


def test_each_chooses_by_its_own_score() -> None:
    """Of ten classes, where no two of them are one ranking."""
    data = loaded("digits", ())
    found = scores(data, 0).value
    first, second = np.sort(found.probabilities, axis=1)[:, :-3:-1].T
    expected = {
        "least-confidence": 1 - first,
        "margin": second - first,
        "entropy": -(found.probabilities * np.log(found.probabilities)).sum(axis=1),
        "el2n": found.errors,
        "grand": found.gradients,
        "forgetting": found.forgotten,
    }
    cores = {name: select(name, data, 20, 0, {}).core for name in expected}
    for name, score in expected.items():
        chosen = score[cores[name]]
        assert chosen.tolist() == sorted(chosen, reverse=True)
        assert chosen.min() >= np.delete(score, cores[name]).max()
    assert len({frozenset(core.tolist()) for core in cores.values()}) == len(cores)


def test_each_is_told_the_time_of_the_training_that_they_share() -> None:
    """Whichever comes first in a process, and has the others find it done."""
    data = loaded("digits", ())
    for name in ("el2n", "grand", "margin"):
        found = choose(Trial("digits", 20, name), data, [])
        shared = scores(data, 0)
        assert found.seconds >= shared.seconds > 0
        assert found.cpu_seconds >= shared.cpu_seconds > 0


def test_gradients_are_those_of_the_last_layer() -> None:
    """As torch finds them, sample by sample."""
    torch.manual_seed(0)
    layer, inputs, y = torch.nn.Linear(5, 3).double(), torch.randn(4, 5).double(), [0, 2, 1, 1]
    expected = []
    for row, label in zip(inputs, y, strict=True):
        loss = torch.nn.functional.cross_entropy(layer(row), torch.tensor(label))
        gradients = torch.autograd.grad(loss, list(layer.parameters()))
        expected.append(float(torch.cat([part.flatten() for part in gradients]).norm()))
    probabilities = layer(inputs).softmax(dim=1).detach().numpy()
    errors = np.linalg.norm(probabilities - np.eye(3)[y], axis=1)
    np.testing.assert_allclose(last_layer_gradients(errors, inputs.numpy()), expected)


def test_images_are_scored_by_their_own_model() -> None:
    """LeNet, one epoch of some noise: probabilities of each sample, and no score is missing."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8), rng.integers(0, 10, 300)
    found = scores(DataSet("noise", x, y, x, y, "lenet", False), 0, epochs=1).value
    assert found.probabilities.shape == (300, 10)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    assert (found.gradients > found.errors).all()
