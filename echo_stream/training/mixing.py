"""The operator psi that joins a batch and its support, where it is `mixup`.

Source: the ECHO paper, section IV-D; Zhang, Cisse, Dauphin & Lopez-Paz (2018), "mixup:
Beyond Empirical Risk Minimization", ICLR.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from echo_stream.training.losses import TaskLoss


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

        Each output is held against both targets that went into it, by their shares: for
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
