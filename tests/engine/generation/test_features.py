"""Features: everything is measured in what they make of a sample, which is kept as it is."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError, DataError

N = 3_000


class Pixels(nn.Module):
    """A small image encoder with fixed weights, and a layer that training would change."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 3, 3, stride=2)
        self.dropout = nn.Dropout(0.5)
        rng = np.random.default_rng(seed)
        weight = rng.integers(-4, 5, (3, 1, 3, 3)) / 8
        self.convolution.weight = nn.Parameter(torch.from_numpy(weight).float())
        self.convolution.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return 3 maps of shape (3, 3) for images of shape (8, 8)."""
        assert x.dtype == torch.float32
        made: torch.Tensor = self.dropout(self.convolution(x[:, None]))
        return made.flatten(1)


def halves(x: Array) -> Array:
    """Return the mean of both halves of images of shape (8, 8)."""
    assert x.dtype == np.uint8
    return np.asarray(x.reshape(len(x), 2, -1).mean(axis=2))


def by_pixels(x: Array) -> Array:
    """Return the vectors that a pixel module makes."""
    module = Pixels().eval()
    with torch.no_grad():
        return np.asarray(module(torch.from_numpy(x.astype(np.float32) / 255)).numpy())


@pytest.fixture(scope="module")
def x() -> Array:
    """Return small grey images."""
    return np.random.default_rng(0).integers(0, 256, (N, 8, 8)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["fixed", "paper"])
@pytest.mark.parametrize(
    ("features", "vectors"),
    [
        (halves, halves),
        (Pixels(), by_pixels),
        ("tests.engine.generation.test_features:halves", halves),
        ("tests.engine.generation.test_features:Pixels", by_pixels),
    ],
)
def test_what_is_measured_are_the_features(
    x: Array, preset: str, features: object, vectors: object
) -> None:
    """The choice is that of an engine over the vectors; the payloads are the images."""
    settings = {"preset": preset, "epochs": 1, "warmup": 500}
    engine = EchoCoreset(30, features=features, **settings).fit(x)  # type: ignore[arg-type]
    measured = vectors(x).astype(np.float32)  # type: ignore[operator]  # one of the functions
    expected = EchoCoreset(30, **settings).fit(measured)  # type: ignore[arg-type]
    assert engine.indices_.tolist() == expected.indices_.tolist()
    rows = engine.snapshot().rows
    np.testing.assert_array_equal(rows.samples.x, x[engine.indices_])
    np.testing.assert_array_equal(rows.latents, expected.snapshot().rows.latents)
    assert engine.generation_.num_features == measured.shape[1]
    assert engine.snapshot().certified_fraction == 1.0


@pytest.mark.parametrize("features", [halves, Pixels()])
def test_batch_sizes_do_not_matter(x: Array, features: object) -> None:
    """A module is always called with as many rows, whatever arrives."""
    whole = EchoCoreset(
        30, features=features, warmup=500, support_share=0.25, preset="fixed"
    ).partial_fit(x)
    parts = EchoCoreset(30, features=features, warmup=500, support_share=0.25, preset="fixed")
    for rows in np.array_split(np.arange(N), 41):
        parts.partial_fit(x[rows])
    assert parts.snapshot().id == whole.snapshot().id
    restored = EchoCoreset.from_state(whole.to_state(), features=features)
    assert restored.snapshot().id == whole.snapshot().id
    held = whole.coreset().ids[0]
    assert restored.forget(held) == whole.forget(held) == 1
    assert restored.snapshot().id == whole.snapshot().id


def test_code_is_never_taken_from_a_state(x: Array) -> None:
    """Features must be given again, and be those that the generation was trained with."""
    spec = "tests.engine.generation.test_features:halves"
    engine = EchoCoreset(10, features=spec, warmup=500, preset="fixed")
    for count in (100, 900):
        engine.partial_fit(x[:count])
        with pytest.raises(ConfigError, match=f"with features '{spec}'; give them as features"):
            EchoCoreset.from_state(engine.to_state())
        assert EchoCoreset.from_state(engine.to_state(), features=halves).n_seen_ == engine.n_seen_
    with pytest.raises(ConfigError, match="the given features are not"):
        EchoCoreset.from_state(engine.to_state(), features=lambda images: halves(images) + 5)
    with pytest.raises(
        ConfigError, match=r"was trained with features .*halves, not elsewhere:other"
    ):
        EchoCoreset(
            10, generation=engine.generation_, features="elsewhere:other", preset="fixed"
        ).fit(x)
    plain = EchoCoreset(10, warmup=500, preset="fixed").partial_fit(x)
    with pytest.raises(ConfigError, match="trained without features; leave them out"):
        EchoCoreset.from_state(plain.to_state(), features=halves)


def test_other_weights_are_other_features(x: Array) -> None:
    """A module of the same name is told by what it makes of an example."""
    engine = EchoCoreset(10, features=Pixels(), warmup=500, preset="fixed").partial_fit(x)
    with pytest.raises(ConfigError, match="the given features are not"):
        EchoCoreset.from_state(engine.to_state(), features=Pixels(seed=1))


def test_engines_of_one_generation_merge_and_copy(x: Array) -> None:
    """The function comes with the generation, also into copies and pickles."""
    left = EchoCoreset(10, features=halves, warmup=500, preset="fixed").partial_fit(x[:2_000])
    right = EchoCoreset(10, generation=left.generation_, preset="fixed").partial_fit(
        x[2_000:], ids=range(2_000, N)
    )
    copies = [deepcopy(right), pickle.loads(pickle.dumps(right))]
    left.merge(right)
    assert left.snapshot().n == N
    assert {copy.snapshot().id for copy in copies} == {right.snapshot().id}


@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (lambda x: x[:, 0] / 0.0, DataError, "values that are not finite"),
        (lambda x: x.reshape(-1), DataError, "must give one vector a sample; 1 samples gave"),
        (lambda _: 1 / 0, DataError, "ZeroDivisionError: division by zero"),
        (lambda x: np.zeros((len(x), 1 + len(x) % 2)), DataError, "gave 1 values, and 2 before"),
        ("no colon", ConfigError, "features must be module:attribute; got 'no colon'"),
        ("no_such_module:f", ConfigError, "importing no_such_module failed"),
        ("tests.engine.generation.test_features:N", ConfigError, "is not callable, but int"),
        (7, ConfigError, "is not callable, but int"),
    ],
)
def test_features_that_fail_are_named(
    x: Array, features: object, error: type[Exception], words: str
) -> None:
    """One line says what was wrong; nothing has been counted then."""
    engine = EchoCoreset(10, features=features, preset="fixed")
    with np.errstate(all="ignore"), pytest.raises(error, match=words):
        engine.fit(x)
    assert engine.n_seen_ == 0


def test_a_module_is_left_in_its_mode(x: Array) -> None:
    """Evaluation is for the features only: dropout is off, and training goes on after it."""
    module = Pixels().train()
    engine = EchoCoreset(10, features=module, preset="fixed").fit(x[:200])
    assert module.training
    assert engine.coreset().x.dtype == np.uint8


def test_features_of_what_is_held_are_not_made_again(x: Array) -> None:
    """They are dear, and may have other last bits: members keep theirs, in the state as well."""
    made: list[int] = []

    def counted(images: Array) -> Array:
        made.append(len(images))
        return halves(images)

    engine = EchoCoreset(10, features=counted, warmup=500, support_share=0.5, preset="fixed")
    engine.partial_fit(x[:2_048])
    engine = EchoCoreset.from_state(engine.to_state(), features=counted)
    before = len(made)
    engine.snapshot()
    assert engine.forget(engine.coreset().ids[0]) == 1
    engine.snapshot()
    assert len(made) == before
    manifest = engine.snapshot().manifest
    assert manifest["state_bytes"] <= manifest["state_bytes_bound"]


@pytest.mark.parametrize(("first", "worst"), [(100, 300), (1_500, 2_000)])
def test_nothing_is_counted_where_features_fail(x: Array, first: int, worst: int) -> None:
    """In the warm-up or in a block after it: the same call can come again."""
    is_down = False

    def flaky(images: Array) -> Array:
        if is_down and (images == x[worst]).all(axis=(1, 2)).any():
            msg = "down"
            raise RuntimeError(msg)
        return halves(images)

    settings = {"features": flaky, "warmup": 500}
    engine = EchoCoreset(10, preset="fixed", **settings).partial_fit(x[:first])  # type: ignore[arg-type]
    is_down = True
    with pytest.raises(DataError, match="RuntimeError: down"):
        engine.partial_fit(x[first:])
    assert engine.n_seen_ == first
    is_down = False
    engine.partial_fit(x[first:])
    straight = EchoCoreset(10, preset="fixed", **settings).partial_fit(x)  # type: ignore[arg-type]
    assert engine.snapshot().id == straight.snapshot().id


def test_the_example_is_nobodys_sample(x: Array) -> None:
    """A generation outlives what is forgotten, so it holds no sample."""
    engine = EchoCoreset(10, features=halves, warmup=500, preset="fixed").partial_fit(x)
    probe = engine.generation_.to_state()[0]["probe"]
    assert not (x == probe).all(axis=(1, 2)).any()
