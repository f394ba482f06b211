"""Training on a coreset: it learns, repeats itself, and counts every label it used."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError, DataError, ShapeError, TrainingError
from echo_stream.samples.tensors import to_input
from echo_stream.training.config import TrainConfig
from echo_stream.training.evaluation import evaluate
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.losses import classification_loss, structural_loss
from echo_stream.training.models import build_model, fit_scaling
from echo_stream.training.training import train

SEED = 5


def config(**changes: Any) -> TrainConfig:
    """Return settings of a small training on the CPU; one thread is the quickest for it."""
    defaults: dict[str, Any] = {
        "model": "mlp",
        "steps": 12,
        "seed": SEED,
        "device": "cpu",
        "threads": 1,
    }
    return TrainConfig(**defaults | changes)


def blobs(n: int, *, first_id: int = 0, labels: tuple[Any, ...] = (0, 1, 2)) -> LabelledSet:
    """Return n samples in clusters that one plane each tells apart, labelled in turn."""
    rng = np.random.default_rng(SEED)
    which = np.arange(n) % len(labels)
    x = np.eye(len(labels), 4)[which] * 3 + rng.normal(scale=0.1, size=(n, 4))
    ids = np.arange(first_id, first_id + n).astype(object)
    return LabelledSet(x, np.array(labels, dtype=object)[which], ids)


def relabelled(data: LabelledSet, labels: list[Any]) -> LabelledSet:
    """Return the samples with other labels."""
    return LabelledSet(data.x, np.array(labels, dtype=object), data.ids)


def weights(model: nn.Module) -> Array:
    """Return all parameters in one vector."""
    return torch.cat([p.detach().flatten().cpu() for p in model.parameters()]).numpy()


@pytest.fixture(scope="module")
def digits() -> tuple[LabelledSet, LabelledSet, LabelledSet]:
    """Return core, support and test set of scikit-learn's 8 x 8 digits, 200, 100 and 1,000."""
    data = load_digits()
    rows = np.random.default_rng(SEED).permutation(len(data.target))
    parts = rows[:200], rows[200:300], rows[300:1_300]
    x = data.images.astype(np.float32) / 16
    core, support, test = (LabelledSet(x[part], data.target[part], part) for part in parts)
    return core, support, test


def test_train_learns_digits(digits: tuple[LabelledSet, LabelledSet, LabelledSet]) -> None:
    """Ten classes from 300 labels: chance is 10 %."""
    result = train(*digits, config(steps=100))
    assert result.metrics["accuracy"] > 0.85
    assert result.metrics["labels_used"] == 300
    assert result.metrics["test_samples"] == 1_000
    assert list(result.metrics["per_class"]) == [str(label) for label in range(10)]
    assert result.input_shape == (1, 8, 8)


def test_train_learns_images_kept_flat() -> None:
    """LeNet sees bright halves of byte images that are stored as vectors."""
    images = np.zeros((20, 28, 28), dtype=np.uint8)
    images[::2, :14], images[1::2, 14:] = 255, 255
    labels = np.array(["top", "bottom"] * 10)
    data = LabelledSet(images.reshape(20, -1), labels, np.arange(20))
    shape = (1, 28, 28)
    result = train(data, None, data, config(model="lenet", lr=0.01, steps=30, input_shape=shape))
    assert result.metrics["accuracy"] == 1.0
    assert result.classes == ("bottom", "top")


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_train_repeats_itself(threads: int | None) -> None:
    """The same seed gives the same bits, whatever the global random state; another does not."""
    core, support = blobs(20), blobs(9, first_id=50)
    settings = {"threads": threads, "support_per_step": 4, "batch_size": 8}
    torch.manual_seed(1)
    first = train(core, support, core, config(**settings))
    torch.manual_seed(2)
    again = train(core, support, core, config(**settings))
    other = train(core, support, core, config(**settings, seed=SEED + 1))
    np.testing.assert_array_equal(weights(first.model), weights(again.model))
    assert first.metrics == again.metrics
    assert not np.array_equal(weights(first.model), weights(other.model))


def test_train_leaves_global_state_alone() -> None:
    """The caller's random numbers and threads are not touched."""
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    train(blobs(9), None, None, config(threads=threads + 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("model", ["logistic", "mlp"])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_unit_of_the_input_does_not_matter(model: str, unit: float) -> None:
    """Embeddings of length 1 and bytes alike are learned in the usual number of steps."""
    data, offset = blobs(30), np.float32(7)
    moved = LabelledSet(((data.x + offset) * unit).astype(np.float32), data.y, data.ids)
    assert train(moved, None, moved, config(model=model)).metrics["accuracy"] == 1.0


def test_equal_samples_are_not_scaled() -> None:
    """There is nothing to divide by."""
    core = LabelledSet(np.full((3, 2), 5.0), np.arange(3), np.arange(3))
    assert train(core, None, core, config()).metrics["diverged"] is False


def test_train_without_structure_is_plain_cross_entropy() -> None:
    """With lambda = 0 and one batch an epoch, it is SGD as a textbook has it.

    Rows come in another order: float32 sums over 12 steps agree to 1e-5.
    """
    core, steps = blobs(30), 12
    result = train(core, None, None, config(structure_weight=0.0, steps=steps))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build_model("mlp", (4,), 3)
    x, y = to_input(core.x, (4,)), torch.tensor(core.y.tolist())
    fit_scaling(model, x)
    parameters = list(model.parameters())
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for step in range(steps):
        rate = 0.05 * (1 + math.cos(math.pi * step / steps))
        gradients = torch.autograd.grad(classification_loss(model(x), y), parameters)
        for parameter, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
            velocity.mul_(0.9).add_(gradient + 5e-4 * parameter.detach())
            parameter.data -= rate * velocity
    np.testing.assert_allclose(weights(result.model), weights(model), atol=1e-5)


def test_train_minimises_the_joint_objective() -> None:
    """The first loss reported is the task's plus lambda times the structural one (eq. 13)."""
    core, support = blobs(6), blobs(3, first_id=50)
    losses: list[float] = []
    train(core, support, None, config(steps=1), progress=lambda *step: losses.append(step[2]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = build_model("mlp", (4,), 3)
    x = to_input(np.concatenate([core.x, support.x]), (4,))
    outputs = fit_scaling(model, x)(x)
    labels = torch.tensor([*core.y, *support.y])
    expected = classification_loss(outputs, labels) + 0.5 * structural_loss(outputs, labels)
    assert losses == pytest.approx([expected.item()], rel=1e-5)  # float32, another order


def test_structure_pulls_classes_together() -> None:
    """Logits of one class end closer to each other than without the structural loss."""
    core = blobs(30)
    spreads = []
    for weight in (0.0, 0.5):
        model = train(core, None, None, config(structure_weight=weight, steps=40)).model
        outputs = model(to_input(core.x, (4,))).detach()[core.y == 0]
        spreads.append(float(outputs.std(dim=0).mean()))
    assert spreads[1] < spreads[0] / 2


def test_labels_used_counts_distinct_ids() -> None:
    """A sample that is core and support carries one label, compared as text."""
    core, support = blobs(10), blobs(6, first_id=8)
    support = LabelledSet(support.x, support.y, support.ids.astype(str))
    assert train(core, support, None, config(steps=1)).metrics["labels_used"] == 14


@pytest.mark.parametrize(("steps", "expected"), [(1, 4 + 2), (2, 8 + 4), (3, 10 + 6)])
def test_labels_used_counts_what_entered_a_loss(steps: int, expected: int) -> None:
    """Batches walk through the core; the draws of support are bounded by K a step."""
    settings = config(steps=steps, batch_size=4, support_per_step=2)
    used = train(blobs(10), blobs(1_000, first_id=50), None, settings).metrics["labels_used"]
    assert used == expected  # the few draws from 1,000 do not collide under this seed


@pytest.mark.parametrize(("most", "expected"), [(0, 10), (3, 13), (64, 15)])
def test_support_is_drawn_up_to_k(most: int, expected: int) -> None:
    """K of zero draws none, and a support smaller than K is drawn whole."""
    settings = config(steps=1, support_per_step=most)
    assert (
        train(blobs(10), blobs(5, first_id=50), None, settings).metrics["labels_used"] == expected
    )


def test_support_is_drawn_afresh_at_each_step() -> None:
    """One sample a step reaches several within a few steps."""
    settings = config(steps=12, support_per_step=1)
    used = train(blobs(10), blobs(5, first_id=50), None, settings).metrics["labels_used"]
    assert 12 <= used <= 15


def test_rows_without_label_are_left_out_and_counted() -> None:
    """None and NaN are no labels, in core, support and test."""
    core = relabelled(blobs(6), [0, 1, None, 0, float("nan"), 1])
    support = relabelled(blobs(3, first_id=50), [None, 1, 0])
    metrics = train(core, support, core, config()).metrics
    assert metrics["num_unlabelled"] == 3
    assert metrics["labels_used"] == 6
    assert metrics["test_samples"] == 4


def test_a_class_that_training_has_not_seen_counts_as_wrong() -> None:
    """It lowers the accuracy and has a line of its own."""
    test = blobs(8, labels=(0, 1, 2, 9))
    metrics = train(blobs(30), None, test, config(steps=40)).metrics
    assert metrics["accuracy"] == 0.75
    assert metrics["per_class"] == {"0": 1.0, "1": 1.0, "2": 1.0, "9": 0.0}


def test_labels_may_be_text() -> None:
    """Classes are the sorted labels of core and support."""
    core = blobs(20, labels=("dog", "cat"))
    support = relabelled(blobs(2, first_id=50), ["ant", "cat"])
    result = train(core, support, core, config(steps=40))
    assert result.classes == ("ant", "cat", "dog")
    assert result.metrics["per_class"] == {"cat": 1.0, "dog": 1.0}


def test_classes_are_sorted_as_numbers_before_text() -> None:
    """10 comes after 2, and text does not get in the way."""
    core = relabelled(blobs(4), ["cat", 10, 2.5, 2])
    assert train(core, None, None, config(steps=1)).classes == (2, 2.5, 10, "cat")


def test_without_test_set_there_is_no_accuracy() -> None:
    """Nothing is claimed that was not measured."""
    metrics = train(blobs(6), None, None, config()).metrics
    assert (metrics["accuracy"], metrics["per_class"], metrics["test_samples"]) == (None, {}, 0)


@pytest.mark.parametrize(
    ("changes", "steps", "epochs"),
    [({"steps": None, "epochs": 3}, 9, 3), ({"steps": 4}, 4, 2), ({"steps": 1}, 1, 1)],
)
def test_steps_follow_epochs_unless_given(
    changes: dict[str, int | None], steps: int, epochs: int
) -> None:
    """Ten samples in batches of four make three steps an epoch, the last one smaller."""
    seen: list[tuple[int, int]] = []
    settings = config(batch_size=4, **changes)
    metrics = train(
        blobs(10), None, None, settings, progress=lambda *step: seen.append(step[:2])
    ).metrics
    assert (metrics["steps"], metrics["epochs"]) == (steps, epochs)
    assert seen == [(step + 1, steps) for step in range(steps)]


def test_divergence_stops_training_and_is_reported() -> None:
    """A rate far too high ends early; the accuracy is that of what is left."""
    core = blobs(30)
    metrics = train(core, None, core, config(lr=1e30, steps=50)).metrics
    assert metrics["diverged"] is True
    assert metrics["steps"] < 50
    assert metrics["loss"] is None
    assert 0 <= metrics["accuracy"] < 1


def unscaled(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return a model that takes samples as they are."""
    return nn.Linear(input_shape[0], num_classes)


def test_divergence_at_the_last_step_is_reported() -> None:
    """The loss was finite, the weights that it leads to are not."""
    core = LabelledSet(blobs(30).x * 1e25, blobs(30).y, blobs(30).ids)
    recipe = {"lr": 1e30, "structure_weight": 0.0, "max_grad_norm": 0.0}
    settings = config(model=f"{__name__}:unscaled", steps=1, **recipe)
    metrics = train(core, None, None, settings).metrics
    assert metrics["steps"] == 1
    assert metrics["diverged"] is True


def test_metrics_can_be_written_as_strict_json() -> None:
    """With the settings, and without NaN, also when diverged."""
    core = blobs(6)
    for settings in (config(input_shape=(2, 2)), config(lr=1e30)):
        metrics = train(core, None, core, settings).metrics
        written = json.loads(json.dumps(metrics, allow_nan=False))
        assert written["config"]["model"] == "mlp"
        assert written["device"] == "cpu"


@pytest.mark.parametrize("n", [0, 4])
def test_training_without_a_label_is_refused(n: int) -> None:
    """One line says so; labels of the support alone do not help."""
    core = relabelled(blobs(n), [None] * n)
    with pytest.raises(TrainingError, match=f"no core sample has a label, of {n}"):
        train(core, blobs(3, first_id=50), None, config())


def test_one_labelled_sample_is_enough() -> None:
    """There is then one class, which is always right."""
    core = blobs(1)
    assert train(core, None, core, config()).metrics["accuracy"] == 1.0


def test_test_samples_of_another_shape_are_refused_before_training() -> None:
    """Not after 200 epochs."""
    steps: list[int] = []
    test = LabelledSet(np.zeros((2, 5)), np.zeros(2), np.arange(2))
    with pytest.raises(ShapeError, match=r"\(5,\) do not fit a model that takes \(4,\)"):
        train(blobs(6), None, test, config(), progress=lambda *step: steps.append(step[0]))
    assert steps == []


def test_support_of_another_shape_is_refused() -> None:
    """Core and support go through one model."""
    support = LabelledSet(np.zeros((2, 5)), np.zeros(2), np.arange(2))
    with pytest.raises(ShapeError, match="do not fit"):
        train(blobs(6), support, None, config())


def test_an_input_shape_of_another_size_is_refused() -> None:
    """The error gives both shapes."""
    with pytest.raises(ConfigError, match=r"input_shape \(3, 3\) .* shape \(4,\)"):
        train(blobs(6), None, None, config(input_shape=(3, 3)))


def test_samples_that_are_no_numbers_are_refused() -> None:
    """Text has to be embedded first."""
    core = LabelledSet(np.array([["abc"]]), np.array([0]), np.array([0]))
    with pytest.raises(DataError, match="takes numbers"):
        train(core, None, None, config())


def test_columns_of_unequal_length_are_refused() -> None:
    """Each sample has one label and one id."""
    with pytest.raises(ShapeError, match=r"\[2, 3, 2\]"):
        LabelledSet(np.zeros((2, 1)), np.zeros(3), np.zeros(2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 2.5),
        ("steps", 0),
        ("threads", 0),
        ("support_per_step", -1),
        ("seed", 2**64),
        ("lr", 0.0),
        ("margin", math.nan),
        ("momentum", 1.5),
        ("weight_decay", -0.1),
        ("structure_weight", math.inf),
        ("input_shape", (1, 0)),
    ],
)
def test_a_setting_out_of_range_is_refused(name: str, value: Any) -> None:
    """The error names the setting and what was given."""
    with pytest.raises(ConfigError, match=f"{name} must be .*; got "):
        config(**{name: value})


def test_evaluate_measures_in_evaluation_mode_and_leaves_the_mode() -> None:
    """Dropout is off meanwhile; 3,000 samples take three passes."""
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity())
    data = blobs(3_000)
    measured = evaluate(model, data.x, data.y, [0, 1, 2, 3])
    assert measured["accuracy"] == 1.0
    assert measured["test_samples"] == 3_000
    assert model.training


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_train_on_the_gpu_learns_and_repeats_itself() -> None:
    """The same bits twice on one card, and the GPU's random state left alone."""
    core, support = blobs(60), blobs(20, first_id=100)
    before = torch.cuda.get_rng_state()
    first, again = (train(core, support, core, config(steps=40, device="cuda")) for _ in range(2))
    assert first.metrics["accuracy"] == 1.0
    assert first.metrics["device"] == "cuda"
    np.testing.assert_array_equal(weights(first.model), weights(again.model))
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_bytes_and_other_numbers_do_not_mix() -> None:
    """A test set of 0..255 floats against a coreset of bytes would be silently wrong."""
    x = np.arange(16, dtype=np.uint8).reshape(4, 4)
    core = LabelledSet(x, np.arange(4), np.arange(4))
    test = LabelledSet(x.astype(np.float32), np.arange(4), np.arange(4))
    with pytest.raises(DataError, match="training samples are uint8, test samples float32"):
        train(core, None, test, config())
