"""Random crops and flips of images, new ones for each sample at each step."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echo_stream.errors import ConfigError

CROP_PADDING = 4  # pixels a side, as is customary for CIFAR-10
IMAGE_AXES = 3


def check_augmentable(names: Sequence[str], shape: Sequence[int]) -> None:
    """Raise ConfigError if samples of this shape are to be augmented and are no images."""
    if names and len(shape) != IMAGE_AXES:
        msg = (
            f"augment {', '.join(names)} is for images of shape (h, w) or (c, h, w); samples "
            f"are {tuple(shape)}; for images kept as vectors give --input-shape, such as 1,28,28"
        )
        raise ConfigError(msg)


def augment(x: Tensor, names: Sequence[str], rng: np.random.Generator) -> Tensor:
    """Return images cropped and flipped at random, each in a way of its own. O(n c h w).

    Parameters
    ----------
    x : tensor of shape (n, c, h, w), float32
    names : sequence of {"crop", "flip"}
        crop: padded with 4 zeros a side, then cut to the old size at a random place.
        flip: left and right exchanged, for every second image on average.
    rng : Generator

    Examples
    --------
    >>> images = torch.arange(6.0).reshape(1, 1, 2, 3)
    >>> augment(images, ["flip"], np.random.default_rng(2))
    tensor([[[[2., 1., 0.],
              [5., 4., 3.]]]])
    """
    if "crop" in names:
        x = _cropped(x, rng)
    if "flip" in names:
        flipped = torch.from_numpy(rng.random(len(x)) < 0.5).to(x.device)
        x = torch.where(flipped[:, None, None, None], x.flip(-1), x)
    return x


def _cropped(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Return each image moved by up to `CROP_PADDING` pixels along each axis."""
    n, _, height, width = x.shape
    padded = functional.pad(x, (CROP_PADDING,) * 4)
    corners = torch.from_numpy(rng.integers(0, 2 * CROP_PADDING + 1, (2, n))).to(x.device)
    rows = corners[0][:, None] + torch.arange(height, device=x.device)
    columns = corners[1][:, None] + torch.arange(width, device=x.device)
    images = torch.arange(n, device=x.device)[:, None, None]
    # Indices around a slice come first: (n, h, w, c).
    return padded[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
