"""What can be changed in a training: task, psi, gamma, weights, optimiser, features."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError, DataError
from echo_stream.training.config import TrainConfig
from echo_stream.training.labelled import LabelledSet
from echo_stream.training.losses import classification_loss, regression_loss, structural_loss
from echo_stream.training.models import build_model, fit_scaling
from echo_stream.training.training import TrainResult, train

SEED = 5


def config(**changes: Any) -> TrainConfig:
    """Return settings of a small training on the CPU."""
    defaults: dict[str, Any] = {
        "model": "logistic", "steps": 10, "seed": SEED, "device": "cpu", "threads": 1,
        "sample_weights": "none",
    }  # fmt: skip
    return TrainConfig(**defaults | changes)


def samples(n: int, *, first_id: int = 0, dim: int = 3) -> LabelledSet:
    """Return n random samples of three classes, with weights and means."""
    rng = np.random.default_rng(first_id)
    x = rng.normal(size=(n, dim)).astype(np.float32)
    ids = np.arange(first_id, first_id + n)
    return LabelledSet(x, ids % 3, ids, rng.random(n) + 0.5, np.ones_like(x))


def initial(num_outputs: int, x: Array) -> nn.Module:
    """Return the model that a training over x begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return fit_scaling(build_model("logistic", x.shape[1:], num_outputs), torch.from_numpy(x))


def first_loss(core: LabelledSet, support: LabelledSet | None, **changes: Any) -> float:
    """Return the loss of the first step."""
    losses: list[float] = []
    settings = config(steps=1, **changes)
    train(core, support, None, settings, progress=lambda *step: losses.append(step[2]))
    return losses[0]


def parameters(result: TrainResult) -> Array:
    """Return all that was learned in one vector."""
    return torch.cat([p.detach().flatten() for p in result.model.parameters()]).numpy()


def test_regression_learns_a_plane_in_the_unit_of_its_labels() -> None:
    """Labels in the thousands are scaled for the loss, and errors told in their unit."""
    data = samples(60)
    y = 1_000 + data.x @ np.array([100.0, -50.0, 0.0])
    data = replace(data, y=y)
    result = train(data, None, data, config(task="regression", lr=0.05, steps=300))
    metrics = result.metrics
    assert metrics["r2"] > 0.999
    assert metrics["mae"] <= metrics["rmse"] < 0.05 * y.std()
    assert (metrics["structure_used"], metrics["labels_used"]) == (False, 60)
    assert metrics["best"]["is_peeking"]
    assert metrics["best"]["rmse"] <= metrics["rmse"]
    assert "accuracy" not in metrics
    assert result.classes == ()
    assert (result.targets.mean, result.targets.scale) == pytest.approx((y.mean(), y.std()))


def test_regression_has_no_structural_loss() -> None:
    """Its first loss is the mean squared error of scaled labels, whatever lambda is."""
    core = replace(samples(8), y=np.arange(8) / 4)
    scaled = torch.from_numpy((core.y - core.y.mean()) / core.y.std()).float()
    expected = regression_loss(initial(1, core.x)(torch.from_numpy(core.x)), scaled).item()
    assert first_loss(core, None, task="regression", structure_weight=9.0) == pytest.approx(
        expected
    )


def test_regression_of_text_is_refused() -> None:
    """The error shows a label."""
    core = replace(samples(3), y=np.array([1, "cat", 2.5], dtype=object))
    with pytest.raises(DataError, match="labels that are numbers; got 'cat'"):
        train(core, None, None, config(task="regression"))


def test_equal_labels_can_be_regressed() -> None:
    """Their spread of 0 divides nothing."""
    core = replace(samples(4), y=np.full(4, 7.0))
    metrics = train(core, None, core, config(task="regression", steps=100)).metrics
    assert metrics["rmse"] < 1.0
    assert metrics["r2"] is None


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_gamma_moves_support_on_the_line_from_its_mean(gamma: float) -> None:
    """Equation 10: mu + gamma (x - mu), and the core stays."""
    core, support = samples(4), samples(3, first_id=50)
    assert support.means is not None
    moved = support.means + gamma * (support.x - support.means)
    x = np.concatenate([core.x, moved]).astype(np.float32)
    outputs = initial(3, x)(torch.from_numpy(x))
    labels = torch.tensor([*core.y, *support.y])
    expected = classification_loss(outputs, labels) + 0.5 * structural_loss(outputs, labels)
    # float32, rows in another order.
    assert first_loss(core, support, gamma=gamma) == pytest.approx(expected.item(), rel=1e-5)


def test_gamma_without_means_is_refused() -> None:
    """Unless there is no support to move."""
    core, support = samples(4), replace(samples(3, first_id=50), means=None)
    with pytest.raises(ConfigError, match="needs the means of the support's cells"):
        train(core, support, None, config(gamma=2.0))
    train(core, None, None, config(gamma=2.0))


@pytest.mark.parametrize("standardise", [False, True])
def test_means_of_a_snapshot_are_those_of_its_cells(*, standardise: bool) -> None:
    """In the unit in which a model sees samples, bytes divided by 255."""
    x = np.random.default_rng(0).integers(0, 256, (80, 2, 2), dtype=np.uint8)
    engine = EchoCoreset(10, preset="paper", epochs=0, standardise=standardise, device="cpu")
    snapshot = engine.fit(x, np.arange(80) % 3).snapshot()
    support = LabelledSet.of_snapshot(snapshot, "support", with_means=True)
    assert support.means is not None
    assert support.means.shape == (len(support), 4)
    counts = np.array([snapshot.cells.counts]).T
    whole = (snapshot.cells.means * counts).sum(axis=0) / 80
    np.testing.assert_allclose(whole, x.reshape(80, 4).mean(axis=0) / 255, atol=1e-5)
    lone = snapshot.rows.cell_counts[snapshot.rows.roles == "support"] == 1
    own = support.x.reshape(-1, 4) / np.float32(255)
    np.testing.assert_allclose(support.means[lone], own[lone], atol=1e-5)
    train(LabelledSet.of_snapshot(snapshot, "core"), support, None, config(gamma=1.5))


def test_a_snapshot_without_support_keeps_no_means() -> None:
    """They are for support alone, and take room."""
    snapshot = EchoCoreset(5, device="cpu", preset="fixed").fit(samples(30).x).snapshot()
    assert snapshot.cells.means.shape == (len(snapshot.cells.cells), 0)
    assert LabelledSet.of_snapshot(snapshot, "core", with_means=True).means is None


@pytest.mark.parametrize(
    ("wanted", "power"),
    [("sqrt", 0.5), ("full", 1.0), ("auto", 3 / 13)],  # nine rows of three classes
)
def test_sample_weights_weigh_the_task_loss(wanted: str, power: float) -> None:
    """Relative to each other; the structural loss has pairs, not samples."""
    core = samples(9)
    assert core.weights is not None
    outputs, labels = initial(3, core.x)(torch.from_numpy(core.x)), torch.from_numpy(core.y)
    task = classification_loss(outputs, labels, torch.from_numpy(core.weights**power).float())
    expected = (task + 0.5 * structural_loss(outputs, labels)).item()
    for scale in (1.0, 1_000.0):
        weighted = replace(core, weights=core.weights * scale)
        found = first_loss(weighted, None, sample_weights=wanted)
        assert found == pytest.approx(expected, rel=1e-5)
    assert first_loss(core, None) != pytest.approx(expected, rel=1e-5)


def test_weights_are_followed_the_farther_the_more_rows_a_class_has() -> None:
    """A regression has one class; where some rows have no weights, all are alike."""
    few, many = samples(9), samples(90)

    def exponent(core: LabelledSet, support: LabelledSet | None = None, **changes: Any) -> float:
        settings = config(sample_weights="auto", **changes)
        found: float = train(core, support, None, settings).metrics["weight_exponent"]
        return found

    assert exponent(few) == 3 / 13
    assert exponent(many) == 30 / 40
    assert exponent(few, samples(9, first_id=9)) == 6 / 16
    assert exponent(few, task="regression") == 9 / 19
    assert exponent(replace(few, y=np.array([0, 1, 2, *[None] * 6]))) == 1 / 11
    assert exponent(replace(few, has_proportions=False)) == 0
    assert exponent(few, replace(samples(9, first_id=9), weights=None)) == 0
    assert train(few, None, None, config()).metrics["weight_exponent"] == 0


def test_sample_weights_have_to_be_there_and_make_sense() -> None:
    """Core and support alike."""
    core = samples(4)
    with pytest.raises(ConfigError, match="needs the weight of each row"):
        train(core, replace(core, weights=None), None, config(sample_weights="full"))
    for bad in (-np.ones(4), np.zeros(4), np.full(4, np.nan)):
        with pytest.raises(DataError, match="weights that are at least 0"):
            train(replace(core, weights=bad), None, None, config(sample_weights="full"))


def test_mixup_mixes_the_joined_batch_and_leaves_pairs_hard() -> None:
    """A far weight on structure shows that its part is that of the samples before mixing."""
    core, support = samples(6), samples(3, first_id=50)
    x = np.concatenate([core.x, support.x])
    outputs = initial(3, x)(torch.from_numpy(x))
    structure = structural_loss(outputs, torch.tensor([*core.y, *support.y])).item()
    without, with_structure = (
        first_loss(core, support, psi="mixup", structure_weight=weight) for weight in (0.0, 1_000.0)
    )
    assert with_structure - without == pytest.approx(1_000 * structure, rel=1e-4)
    assert without != pytest.approx(first_loss(core, support, structure_weight=0.0), rel=1e-3)


def test_mixup_learns() -> None:
    """Clusters that one plane each tells apart."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    data = LabelledSet(np.eye(3)[y] * 3 + rng.normal(scale=0.1, size=(60, 3)), y, np.arange(60))
    metrics = train(data[:40], data[40:], data, config(psi="mixup", steps=60)).metrics
    assert metrics["accuracy"] == 1.0
    assert metrics["labels_used"] == 60


def reference_optimiser(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """Return torch's optimiser as a textbook would call it."""
    made: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "sgd": lambda p: torch.optim.SGD(p, 0.02, 0.5, weight_decay=0.01),
        "adam": lambda p: torch.optim.Adam(p, 0.02, weight_decay=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.01),
    }
    return made[name](model.parameters())


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw"])
def test_optimisers_and_schedules_are_those_of_torch(optimiser: str, schedule: str) -> None:
    """The whole core in each batch, so only the order of a float32 sum differs."""
    core, steps = samples(12), 6
    recipe = {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.01, "structure_weight": 0.0}
    result = train(
        core, None, None, config(optimiser=optimiser, schedule=schedule, steps=steps, **recipe)
    )
    model = initial(3, core.x)
    reference = reference_optimiser(optimiser, model)
    falls: dict[str, Callable[[int], float]] = {
        "cosine": lambda step: (1 + math.cos(math.pi * step / steps)) / 2,
        "linear": lambda step: 1 - step / steps,
        "constant": lambda _: 1.0,
    }
    rates = torch.optim.lr_scheduler.LambdaLR(reference, falls[schedule])
    for _ in range(steps):
        reference.zero_grad()
        loss = classification_loss(model(torch.from_numpy(core.x)), torch.from_numpy(core.y))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        reference.step()
        rates.step()
    expected = torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
    np.testing.assert_allclose(parameters(result), expected, atol=1e-5)


def test_no_step_is_longer_than_gradients_may_be() -> None:
    """By the Euclidean length of all parameters together; shorter gradients stay as they are."""
    core = samples(12)
    recipe = {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.0, "steps": 1}
    cut, whole, free = (
        parameters(train(core, None, None, config(max_grad_norm=longest, **recipe)))
        for longest in (0.01, 100.0, 0.0)
    )
    begin = torch.cat([p.detach().flatten() for p in initial(3, core.x).parameters()]).numpy()
    np.testing.assert_array_equal(whole, free)
    step, long_step = cut - begin, free - begin
    assert np.linalg.norm(step) == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert step @ long_step == pytest.approx(np.linalg.norm(step) * np.linalg.norm(long_step))


def test_features_make_what_the_model_takes() -> None:
    """Of core, support and test alike; the head alone is trained."""
    data = replace(samples(30), y=np.arange(30) % 2)
    data = replace(data, x=np.abs(data.x) * np.where(data.y == 1, 1, 3)[:, None].astype(np.float32))
    result = train(data[:20], data[20:], data, config(features="numpy:log1p", steps=200))
    assert result.input_shape == (3,)
    assert result.metrics["accuracy"] > 0.8
    made = replace(data, x=np.log1p(data.x))
    expected = train(made[:20], made[20:], made, config(steps=200))
    np.testing.assert_array_equal(parameters(result), parameters(expected))
    with pytest.raises(ConfigError, match="numpy has no nothing"):
        train(data, None, None, config(features="numpy:nothing"))


def test_gamma_and_features_together_are_refused() -> None:
    """Means are those of samples, not of what features make of them."""
    with pytest.raises(ConfigError, match="moves samples, not their features"):
        config(gamma=2.0, features="numpy:log1p")


def test_mixed_precision_learns_as_well() -> None:
    """In bfloat16, which rounds otherwise, and not so that it would not learn."""
    data = replace(samples(60), y=(samples(60).x[:, 0] > 0).astype(int))
    plain, mixed = (
        train(data, None, data, config(model="mlp", steps=60, lr=0.05, mixed_precision=on))
        for on in (False, True)
    )
    assert mixed.metrics["accuracy"] > 0.9
    assert not np.array_equal(parameters(plain), parameters(mixed))
    assert all(p.dtype == torch.float32 for p in mixed.model.parameters())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch compiles with a C++ compiler")
@pytest.mark.filterwarnings("default")  # torch's compiler warns of itself
def test_a_compiled_model_learns_the_same() -> None:
    """Fused kernels round otherwise, in the last digits of float32."""
    data = samples(16)
    plain, compiled = (
        train(data, None, None, config(steps=3, evaluations=1, compile=on)) for on in (False, True)
    )
    np.testing.assert_allclose(parameters(compiled), parameters(plain), atol=1e-5)
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.filterwarnings("default")  # torch's compiler warns of itself
def test_a_gpu_trains_images_in_mixed_precision_and_compiled() -> None:
    """With crops, flips and mixtures; the same bits twice."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = np.where(y[:, None, None] == 1, 200, 20) + rng.integers(0, 20, (60, 28, 28))
    data = LabelledSet(x.astype(np.uint8), y, np.arange(60))
    settings = config(
        model="lenet", device="cuda", steps=60, lr=0.01, psi="mixup", augment=("crop", "flip"),
        mixed_precision=True, compile=True,
    )  # fmt: skip
    first, again = (train(data[:40], data[40:], data, settings) for _ in range(2))
    assert first.metrics["accuracy"] > 0.95
    assert torch.equal(
        torch.cat([p.flatten() for p in first.model.parameters()]),
        torch.cat([p.flatten() for p in again.model.parameters()]),
    )


def test_the_curve_has_evenly_spread_points_and_marks_its_best() -> None:
    """The last point is the result; the best is what looking at the test set would choose."""
    data = samples(30)
    metrics = train(data, None, data, config(steps=10, evaluations=4, batch_size=8)).metrics
    curve = metrics["curve"]
    assert [point["steps"] for point in curve] == [3, 5, 8, 10]
    assert [point["epochs"] for point in curve] == [0.75, 1.25, 2.0, 2.5]
    assert curve[-1]["accuracy"] == metrics["accuracy"]
    assert metrics["best"]["accuracy"] == max(point["accuracy"] for point in curve)
    assert metrics["best"]["is_peeking"] is True
    assert train(data, None, None, config()).metrics["best"] is None


def test_looking_at_the_test_set_changes_nothing() -> None:
    """However often the model is measured, its weights are the same."""
    data = samples(30)
    often, once, never = (
        train(data, None, test, config(model="mlp", evaluations=points))
        for test, points in ((data, 10), (data, 1), (None, 10))
    )
    np.testing.assert_array_equal(parameters(often), parameters(once))
    np.testing.assert_array_equal(parameters(often), parameters(never))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("task", "ranking", "classification, regression"),
        ("psi", "cutmix", "concatenate, mixup"),
        ("optimiser", "lion", "sgd, adam, adamw"),
        ("schedule", "step", "cosine, linear, constant"),
        ("sample_weights", True, "auto, none, sqrt, full"),
        ("augment", ("rotate",), "crop, flip"),
        ("gamma", -1.0, "at least 0"),
        ("mixup_alpha", 0.0, "above 0"),
        ("max_grad_norm", -1.0, "at least 0"),
        ("evaluations", 0, "at least 1"),
    ],
)
def test_a_recipe_that_there_is_not_is_refused(name: str, value: Any, words: str) -> None:
    """The error names the setting, and what it may be."""
    with pytest.raises(ConfigError, match=f"{name} must be .*{words}; got "):
        config(**{name: value})
