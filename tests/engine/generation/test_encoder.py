"""The encoder: its objectives, its training, and bits that do not depend on the block."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_stream._common.typing import Array
from echo_stream.config import Architecture, EngineConfig, Objective
from echo_stream.errors import StateError
from echo_stream.generation.encoder_training import distance_loss, train_encoder
from echo_stream.generation.generation import Generation, train_generation
from echo_stream.generation.preprocessing import fit_preprocessing
from tests.support import naive

CPU = torch.device("cpu")
# Coarse: the matrix product in cdist cannot tell points that nearly coincide.
coordinates = st.integers(-640, 640).map(lambda steps: steps / 64)
vectors = st.lists(st.lists(coordinates, min_size=3, max_size=3), min_size=1, max_size=8)


def cloud(n: int, dim: int, seed: int = 0) -> Array:
    """Return n points of a dim-dimensional normal cloud, float32."""
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize("objective", ["profile", "pairwise"])
@given(rows=vectors)
def test_distance_loss_equals_the_formula(objective: Objective, rows: list[list[float]]) -> None:
    """Equations 1-3, and the pairwise variant, against plain loops."""
    points = torch.tensor(rows, dtype=torch.float64)
    latent = points[:, :2].square() - points[:, 1:]
    loss = float(distance_loss(points, latent, objective))
    formula = naive.profile_loss if objective == "profile" else naive.pairwise_loss
    # The matrix product in cdist is good to about 1e-7 of the largest squared distance.
    assert loss == pytest.approx(formula(points.tolist(), latent.tolist()), abs=1e-6)


@pytest.mark.parametrize("objective", ["profile", "pairwise"])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_distance_loss_does_not_depend_on_where_the_origin_is(
    objective: Objective, offset: float
) -> None:
    """Float32 samples far from it lose no more than their own rounding."""
    # Multiples of 1/64, which float32 holds beside an offset of 1e5.
    points = torch.from_numpy(np.round(cloud(256, 8) * 64) / 64)
    latent = points[:, :2].double().square()
    expected = float(distance_loss(points.double(), latent, objective))
    found = float(distance_loss(points + offset, latent, objective))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", ["profile", "pairwise"])
def test_distance_loss_has_a_finite_gradient_at_equal_points(objective: Objective) -> None:
    """Duplicates, and a batch of nothing else, do not poison the training."""
    for points in (torch.ones(4, 3), torch.cat([torch.ones(2, 3), torch.zeros(2, 3)])):
        latent = points[:, :2].clone().requires_grad_()
        distance_loss(points, latent, objective).backward()  # type: ignore[no-untyped-call]
        assert latent.grad is not None
        assert bool(latent.grad.isfinite().all())


@pytest.mark.parametrize("objective", ["profile", "pairwise"])
@pytest.mark.parametrize("architecture", ["linear", "mlp"])
def test_training_lowers_the_loss(architecture: Architecture, objective: Objective) -> None:
    """Trained weights preserve distances better than the initial ones do."""
    x = cloud(400, 8) * np.array([5, 4, 1, 1, 1, 1, 1, 1], dtype=np.float32)
    preprocess = fit_preprocessing(x, standardise=False, device=CPU)
    losses = []
    for epochs in (0, 200):
        encoder = train_encoder(
            x,
            preprocess,
            architecture=architecture,
            objective=objective,
            dim=2,
            epochs=epochs,
            seed=0,
        )
        points = preprocess(x)
        losses.append(float(distance_loss(points.double(), encoder(points), objective)))
    assert losses[1] < 0.8 * losses[0]


def trained(x: Array, **settings: object) -> Generation:
    """Return a generation trained for one epoch."""
    config = EngineConfig(preset="paper", epochs=1, **settings)  # type: ignore[arg-type]  # settings by name
    return train_generation(x, config, expected_n=len(x), device=CPU)


@pytest.mark.parametrize("architecture", ["linear", "mlp"])
@pytest.mark.parametrize("dim", [2, 3, 10, 37, 100])
def test_an_embedding_has_the_same_bits_anywhere(architecture: str, dim: int) -> None:
    """Position in the block, its size, and the number of threads change no bit of z."""
    x = cloud(1_024, dim)
    generation = trained(x, latent_encoder=architecture)
    latent = generation.latent(generation.preprocess(x))
    order = np.random.default_rng(1).permutation(len(x))
    shuffled = generation.latent(generation.preprocess(x[order]))
    assert torch.equal(shuffled, latent[torch.from_numpy(order)])
    assert torch.equal(generation.latent(generation.preprocess(x[:5])), latent[:5])
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert torch.equal(generation.latent(generation.preprocess(x)), latent)
    finally:
        torch.set_num_threads(threads)


def test_training_is_repeatable_and_leaves_global_random_state_alone() -> None:
    """The same seed gives the same generation; another seed another one."""
    x = cloud(200, 5)
    before = torch.get_rng_state()
    first, second, other = trained(x), trained(x), trained(x, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.id == second.id != other.id


def test_training_samples_span_the_unit_square() -> None:
    """Each latent axis is mapped so that the training samples reach from 0 to 1."""
    x = cloud(300, 6)
    generation = trained(x)
    latent = generation.latent(generation.preprocess(x))
    assert latent.amin(dim=0).tolist() == [0.0, 0.0]
    assert latent.amax(dim=0).tolist() == [1.0, 1.0]


def test_a_constant_axis_becomes_one_half() -> None:
    """One sample, or equal ones, lie in the middle of every axis."""
    for x in (cloud(1, 4), np.tile(cloud(1, 4), (9, 1))):
        generation = trained(x)
        assert set(generation.latent(generation.preprocess(x)).flatten().tolist()) == {0.5}


def test_uint8_is_divided_by_255() -> None:
    """Bytes are measured as the fractions that they stand for, to 2^-23 of one."""
    x = np.array([[0, 51, 255]], dtype=np.uint8)
    preprocess = fit_preprocessing(x, standardise=False, device=CPU)
    assert preprocess(x)[0].tolist() == pytest.approx([0.0, 0.2, 1.0], abs=2**-22)


def test_standardise_centres_and_scales_each_feature() -> None:
    """Training features get mean 0 and deviation 1; a constant one stays 0."""
    x = cloud(500, 3) * np.array([1, 100, 0], dtype=np.float32) + 7
    vectors = fit_preprocessing(x, standardise=True, device=CPU)(x)
    assert vectors.mean(dim=0).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert vectors.std(dim=0, correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-5)


def test_a_generation_survives_its_state() -> None:
    """What is restored has the same id and treats samples alike."""
    x = cloud(100, 4)
    for settings in ({"latent_encoder": "linear"}, {"latent_encoder": "mlp", "standardise": True}):
        generation = trained(x, **settings)
        restored = Generation.from_state(generation.to_state())
        assert restored.id == generation.id
        assert torch.equal(
            restored.latent(restored.preprocess(x)), generation.latent(generation.preprocess(x))
        )


def test_a_quantiser_of_unknown_kind_is_refused() -> None:
    """A state that says another kind is not taken for a grid."""
    arrays, meta = trained(cloud(9, 2)).to_state()
    meta["quantiser"]["kind"] = "tree"
    with pytest.raises(StateError, match="quantiser of unknown kind 'tree'"):
        Generation.from_state((arrays, meta))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("architecture", ["linear", "mlp"])
def test_a_gpu_embeds_with_the_bits_of_the_cpu(architecture: str) -> None:
    """The same generation gives the same z on both."""
    x = cloud(1_024, 50)
    generation = trained(x, latent_encoder=architecture)
    there = generation.to(torch.device("cuda"))
    expected = generation.latent(generation.preprocess(x))
    assert torch.equal(there.latent(there.preprocess(x)).cpu(), expected)
