"""Augment batches: crops, flips, and mixup of a batch with its support.

Source: the ECHO paper, section IV-D; Zhang, Cisse, Dauphin & Lopez-Paz (2018), "mixup:
Beyond Empirical Risk Minimization", ICLR.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echo_stream.errors import ConfigError, SettingName
from echo_stream.training.losses import TaskLoss

CROP_PADDING = 4  # pixels a side, as is customary for CIFAR-10
_IMAGE_AXES = 3


def check_augmentable(names: Sequence[str], shape: Sequence[int]) -> None:
    """Raise ConfigError if samples of this shape are to be augmented and are no images."""
    if names and len(shape) != _IMAGE_AXES:
        raise ConfigError(
            SettingName("augment"),
            f" {', '.join(names)} is for images of shape (h, w) or (c, h, w); samples are "
            f"{tuple(shape)}; for images kept as vectors give ",
            SettingName("input_shape"),
            ", such as 1,28,28",
        )


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


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """Each sample of a joined batch mixed with a partner from the same batch.

    Attributes
    ----------
    x : tensor of shape (n, ...), float32
        share x_i + (1 - share) x_partner.
    partner : tensor of shape (n,), int64
    share : tensor of shape (n,), float32
        How much of each mixture is the sample itself, from 0 to 1.
    """

    x: Tensor
    partner: Tensor
    share: Tensor

    def loss(
        self, task: TaskLoss, outputs: Tensor, targets: Tensor, weights: Tensor | None
    ) -> Tensor:
        """Return the task's loss of the model's outputs for the mixtures.

        Each output is compared with both targets that went into it, by their shares: for
        cross-entropy that is the loss against the mixed one-hot labels.

        Parameters
        ----------
        task : callable
        outputs : tensor of shape (n, k), float
        targets, weights : tensors of shape (n,), or weights None
            Of the batch before it was mixed.
        """
        weights = torch.ones_like(self.share) if weights is None else weights
        return task(
            torch.cat([outputs, outputs]),
            torch.cat([targets, targets[self.partner]]),
            torch.cat([self.share * weights, (1 - self.share) * weights[self.partner]]),
        )


def mix(x: Tensor, alpha: float, rng: np.random.Generator) -> Mixture:
    """Mix each sample with another of the batch, by a share from Beta(alpha, alpha). O(n D).

    Parameters
    ----------
    x : tensor of shape (n, ...), float32
    alpha : float
        Above 0; 1 makes every share equally likely.
    rng : Generator

    Examples
    --------
    >>> mixture = mix(torch.eye(3), 1.0, np.random.default_rng(0))
    >>> mixture.x.sum(dim=1)  # shares sum to 1
    tensor([1., 1., 1.])
    """
    partner = torch.from_numpy(rng.permutation(len(x))).to(x.device)
    share = torch.from_numpy(rng.beta(alpha, alpha, len(x)).astype(np.float32)).to(x.device)
    shares = share.reshape(-1, *[1] * (x.ndim - 1))
    return Mixture(shares * x + (1 - shares) * x[partner], partner, share)
