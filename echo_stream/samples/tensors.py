"""Samples as tensors of the shape that a model takes."""

import math
from typing import TypeAlias

import numpy as np
import torch

from echo_stream._common.typing import Array
from echo_stream.errors import DataError, ShapeError

UINT8_MAX = 255

Shape: TypeAlias = tuple[int, ...]
"""Lengths of the axes of one sample."""


def model_shape(sample_shape: Shape) -> Shape:
    """Return the shape in which a model sees a sample: an image gets a channel.

    Examples
    --------
    >>> model_shape((28, 28)), model_shape((3, 32, 32)), model_shape((64,)), model_shape(())
    ((1, 28, 28), (3, 32, 32), (64,), (1,))
    """
    if len(sample_shape) in {0, 2}:
        return (1, *sample_shape)
    return tuple(sample_shape)


def to_input(x: Array, shape: Shape) -> torch.Tensor:
    """Return samples as a model takes them, on the host; x is copied.

    Parameters
    ----------
    x : ndarray of shape (n, ...), boolean, integer or floating point
        uint8 is divided by 255; every other dtype is taken as it is.
    shape : tuple of int
        Of the model's input.

    Returns
    -------
    tensor of shape (n, *shape), float32

    Raises
    ------
    DataError
        When x does not fit, see `check_input`.
    """
    check_input(x, shape)
    values = np.array(x, dtype=np.float32).reshape(len(x), *shape)
    if x.dtype == np.uint8:
        values /= UINT8_MAX
    return torch.from_numpy(values)


def check_input(x: Array, shape: Shape) -> None:
    """Raise a DataError unless x of shape (n, ...) holds numbers that fill a model's input.

    The shapes agree but for axes of length 1, or one of them is flat: an image with its
    channels last is refused, not scrambled.
    """
    if x.dtype.kind not in "buif":
        msg = f"a model takes numbers; got samples of dtype {x.dtype}"
        raise DataError(msg)
    if len(x) > 0 and not _fits(x.shape[1:], shape):
        msg = f"samples of shape {x.shape[1:]} do not fit a model that takes {shape}"
        raise ShapeError(msg)


def _fits(sample_shape: Shape, shape: Shape) -> bool:
    """Return whether a sample can be reshaped without mixing its axes."""
    if min(len(sample_shape), len(shape)) <= 1:
        return math.prod(sample_shape) == math.prod(shape)
    return [side for side in sample_shape if side != 1] == [side for side in shape if side != 1]
