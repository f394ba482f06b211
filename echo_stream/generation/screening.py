"""Samples of which the user's features fail, found one by one before any is counted."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from echo_stream._common.typing import Array
from echo_stream.errors import FeatureError
from echo_stream.generation.features import BLOCK_ROWS, Features, call_features, resolve_features


class Failure(NamedTuple):
    """A sample of which the features fail.

    Attributes
    ----------
    row : int
    error : FeatureError
    """

    row: int
    error: FeatureError


def failures(features: object, x: Array, device: torch.device) -> list[Failure]:
    """Return the payloads x (n, ...) of which features fail, ascending.

    A block that fails is halved until each offender stands alone, so what is found does not
    depend on how a stream is cut into batches, as far as the features treat each sample
    by itself.

    Parameters
    ----------
    features : module, callable, str or Features
        Features of a generation must also give as many values as they gave before.
    x : ndarray of shape (n, ...)
    device : torch.device

    Raises
    ------
    InfrastructureError
        If it was memory, a device or a disk that failed: no sample is to blame for that.

    Notes
    -----
    One call for each 1,024 samples, and 2 log2(1,024) more for each offender at most.
    """
    found: list[Failure] = []
    for start in range(0, len(x), BLOCK_ROWS):
        block = x[start : start + BLOCK_ROWS]
        found += [Failure(start + row, err) for row, err in _offenders(features, block, device)]
    return found


def _offenders(features: object, x: Array, device: torch.device) -> Iterator[Failure]:
    """Yield what fails of one block, by halving it."""
    try:
        _call(features, x, device)
    except FeatureError as err:
        if len(x) == 1:
            yield Failure(0, err)
            return
        half = len(x) // 2
        yield from _offenders(features, x[:half], device)
        for row, error in _offenders(features, x[half:], device):
            yield Failure(half + row, error)


def refuse_failing(features: object, x: Array, device: torch.device) -> None:
    """Raise FeatureError where features fail of payloads x (n, ...), whichever it is."""
    for start in range(0, len(x), BLOCK_ROWS):
        _call(features, x[start : start + BLOCK_ROWS], device)


def _call(features: object, x: Array, device: torch.device) -> None:
    """Make the features of a block, only to see whether they fail."""
    if isinstance(features, Features):
        features(x)
    else:
        call_features(*resolve_features(features), x, device)
