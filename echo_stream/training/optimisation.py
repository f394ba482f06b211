"""Optimisers of a training, and how their rate falls."""

import math

import torch
from torch import nn

from echo_stream.training.config import TrainConfig


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of a model's parameters that the settings name."""
    parameters, lr, decay = model.parameters(), config.lr, config.weight_decay
    match config.optimiser:
        case "sgd":
            return torch.optim.SGD(parameters, lr, config.momentum, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(parameters, lr, weight_decay=decay)
        case "adamw":
            return torch.optim.AdamW(parameters, lr, weight_decay=decay)


def rate(config: TrainConfig, step: int, total: int) -> float:
    """Return the learning rate of a step, counted from 0, of a total.

    Examples
    --------
    >>> [round(rate(TrainConfig(lr=0.1), step, 4), 3) for step in range(4)]
    [0.1, 0.085, 0.05, 0.015]
    """
    done = step / total
    match config.schedule:
        case "cosine":
            return config.lr * (1 + math.cos(math.pi * done)) / 2
        case "linear":
            return config.lr * (1 - done)
        case "constant":
            return config.lr
