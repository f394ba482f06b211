"""Crops and flips move images about, each in its own way."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from echo_stream.errors import ConfigError
from echo_stream.training.augmentation import CROP_PADDING, augment, check_augmentable


def images(n: int = 40) -> Tensor:
    """Return images of two channels, 6 x 5, no pixel 0."""
    return torch.rand(n, 2, 6, 5, generator=torch.Generator().manual_seed(3)) + 0.1


def changed(x: Tensor, *names: str, seed: int = 0) -> Tensor:
    """Return the images, augmented under a seed."""
    return augment(x, names, np.random.default_rng(seed))


def test_flip_exchanges_left_and_right_of_about_half() -> None:
    """An image is flipped whole or left as it is."""
    x = images()
    flipped = changed(x, "flip")
    is_flipped = [torch.equal(new, old.flip(-1)) for new, old in zip(flipped, x, strict=True)]
    is_kept = [torch.equal(new, old) for new, old in zip(flipped, x, strict=True)]
    assert all(a != b for a, b in zip(is_flipped, is_kept, strict=True))
    assert 10 < sum(is_flipped) < 30


def test_crop_moves_each_image_by_its_own_step() -> None:
    """Each is one of the 81 windows of its padded image; they differ between images."""
    x = images()
    steps = set()
    for new, old in zip(changed(x, "crop"), x, strict=True):
        padded = functional.pad(old, (CROP_PADDING,) * 4)
        found = [
            (down, right)
            for down in range(2 * CROP_PADDING + 1)
            for right in range(2 * CROP_PADDING + 1)
            if torch.equal(new, padded[:, down : down + 6, right : right + 5])
        ]
        assert found
        steps.add(found[0])
    assert len(steps) > 10


@pytest.mark.parametrize("names", [(), ("crop",), ("flip",), ("crop", "flip")])
def test_augmentation_follows_from_the_generator(names: Sequence[str]) -> None:
    """The same generator gives the same images, and the given ones are left alone."""
    x = images()
    before = x.clone()
    first, again = changed(x, *names), changed(x, *names)
    assert torch.equal(first, again)
    assert torch.equal(x, before)
    assert first.shape == x.shape
    assert torch.equal(first, x) == (not names)


def test_vectors_are_no_images() -> None:
    """The error says which option helps."""
    check_augmentable((), (784,))
    check_augmentable(("flip",), (1, 28, 28))
    with pytest.raises(ConfigError, match=r"augment crop, flip .* \(784,\); .*input_shape"):
        check_augmentable(("crop", "flip"), (784,))
