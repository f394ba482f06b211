"""The user's features: functions that map payloads to the vectors that are measured.

Distances between raw pixels or raw text say little about meaning. Payloads are kept as they
arrived; distances, centres and cells are those of their features.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
import torch
from torch import nn

from echo_stream._common.device import is_infrastructure
from echo_stream._common.importing import import_attribute, said
from echo_stream._common.typing import Array
from echo_stream.errors import ConfigError, FeatureError, InfrastructureError, SettingName
from echo_stream.generation.preprocessing import CPU
from echo_stream.samples.source import Failure
from echo_stream.samples.tensors import to_input

BLOCK_ROWS = 1_024  # rows of one call; a module always gets so many, padded with zeros
_TOLERANCE = 1e-3  # relative to the largest value: other devices round in other places

FeatureFunction: TypeAlias = Callable[[Array], Any]
"""Maps payloads of shape (n, ...) to an array or tensor of shape (n, D')."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A function that maps payloads to vectors, with an example to recognise it by.

    Attributes
    ----------
    name : str
        `module:attribute` where it was given so, else the function's own name.
    function : callable
        A torch module gets float32 tensors (uint8 divided by 255) on the device, without
        gradients and in its evaluation mode; any other callable gets payloads as they
        arrived.
    probe : ndarray of shape (1, ...)
        Median of some of the payloads that the generation was trained on.
    expected : ndarray of shape (1, D'), float32
        The function's result for it.
    device : torch.device

    Notes
    -----
    A sample has the same bits wherever it stands as far as the function gives them: a
    module is called with 1,024 rows each time, since torch gives other last bits for
    other shapes.
    """

    name: str
    function: FeatureFunction
    probe: Array
    expected: Array
    device: torch.device = CPU

    @property
    def dim(self) -> int:
        """Number of features D'."""
        return int(self.expected.shape[1])

    @classmethod
    def fit(cls, given: object, x: Array, device: torch.device) -> Self:
        """Return the features that were given, with an example like payloads x (n, ...).

        The example is their median, which is not a sample, so that no forgotten sample remains.
        """
        name, function = resolve_features(given)
        probe = np.median(np.array(x[:BLOCK_ROWS]), axis=0)[None].astype(x.dtype)
        return cls(name, function, probe, _call_features(name, function, probe, device), device)

    @classmethod
    def restore(cls, given: object, name: str, probe: Array, expected: Array) -> Self:
        """Return features that a stored generation was trained with.

        Raises
        ------
        ConfigError
            If none are given, or different ones.
        """
        if given is None:
            msg = f"the generation was trained with features {name!r}; give them as features"
            raise ConfigError(msg)
        _, function = resolve_features(given)
        made = _call_features(name, function, probe, CPU)
        if made.shape != expected.shape or not np.allclose(
            made, expected, rtol=0, atol=_TOLERANCE * float(np.abs(expected).max())
        ):
            msg = f"the given features are not {name!r}, which the generation was trained with"
            raise ConfigError(msg)
        return cls(name, function, probe, expected)

    def __call__(self, x: Array) -> Array:
        """Return the vectors of payloads x (n, ...), of shape (n, D'), float32.

        Raises
        ------
        FeatureError
            If the function fails, or does not return one finite vector a sample.
        """
        made = np.empty((len(x), self.dim), dtype=np.float32)
        for start in range(0, len(x), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            part = _call_features(self.name, self.function, x[rows], self.device)
            if part.shape[1] != self.dim:
                msg = f"features {self.name!r} gave {part.shape[1]} values, and {self.dim} before"
                raise FeatureError(msg)
            made[rows] = part
        return made

    def to(self, device: torch.device) -> "Features":
        """Return the features, made on device."""
        return replace(self, device=device)


def resolve_features(given: object) -> tuple[str, FeatureFunction]:
    """Return name and function of features: a torch module, a callable, or `module:attribute`.

    Those of another generation are taken as they are.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if isinstance(given, Features):  # those of a generation, for the next one
        return given.name, given.function
    name = feature_name(given)
    found = given
    if isinstance(given, str):
        found = import_attribute(given, "features", "module:attribute")
    if isinstance(found, type) and issubclass(found, nn.Module):
        try:
            found = found()
        except Exception as err:  # the user's code may raise anything
            words = f" {name!r}: making it failed: {said(err)}"
            raise ConfigError(SettingName("features"), words) from err
    if not callable(found):
        words = f" {name!r} is not callable, but {type(found).__name__}"
        raise ConfigError(SettingName("features"), words)
    return str(name), found


def private_features(given: str) -> FeatureFunction:
    """Return features for use by another thread: a module is copied, since calls move it.

    Raises as `resolve_features` does.
    """
    function = resolve_features(given)[1]
    return copy.deepcopy(function) if isinstance(function, nn.Module) else function


def feature_name(given: object) -> str | None:
    """Return the name of features; None where there are none.

    Examples
    --------
    >>> feature_name("encoders:image"), feature_name(np.sqrt), feature_name(None)
    ('encoders:image', 'numpy:sqrt', None)
    """
    if given is None or isinstance(given, str):
        return given
    named = given if hasattr(given, "__name__") else type(given)
    return f"{getattr(named, '__module__', None) or 'numpy'}:{named.__name__}"


def _call_features(name: str, function: FeatureFunction, x: Array, device: torch.device) -> Array:
    """Return the function's result for payloads x (n, ...), checked: (n, D'), float32.

    Raises
    ------
    FeatureError
        If it fails, or does not return one finite vector a sample.
    InfrastructureError
        If memory, a device or a disk failed.
    """
    try:
        if isinstance(function, nn.Module):
            made = _forward(function, x, device)
        else:
            made = function(np.array(x))
        host = made.detach().cpu().numpy() if hasattr(made, "detach") else made
        vectors = np.asarray(host, dtype=np.float32)
    except Exception as err:  # the user's code may raise anything
        if is_infrastructure(err):
            msg = (
                f"features {name!r} cannot be computed here: {said(err)}; nothing has been skipped"
            )
            raise InfrastructureError(msg) from err
        msg = f"features {name!r} failed for samples of shape {x.shape[1:]}: {said(err)}"
        raise FeatureError(msg) from err
    if vectors.ndim < 2 or len(vectors) != len(x):
        msg = (
            f"features {name!r} must give one vector a sample; {len(x)} samples gave an array "
            f"of shape {vectors.shape}"
        )
        raise FeatureError(msg)
    if not np.isfinite(vectors).all():
        msg = f"features {name!r} gave values that are not finite; correct it, or the samples"
        raise FeatureError(msg)
    return vectors.reshape(len(x), -1)


def _forward(module: nn.Module, x: Array, device: torch.device) -> torch.Tensor:
    """Return a module's outputs for payloads, padded to a full block."""
    padded = torch.zeros((BLOCK_ROWS, *x.shape[1:]))
    padded[: len(x)] = to_input(x, x.shape[1:])
    was_training = module.training
    module.to(device).eval()
    try:
        with torch.inference_mode():
            outputs: torch.Tensor = module(padded.to(device))
    finally:
        module.train(was_training)
    return outputs[: len(x)]


def failures(features: object, x: Array, device: torch.device) -> list[Failure]:
    """Return the payloads x (n, ...) for which features fail, ascending.

    A failing block is halved until each failing sample is isolated, so the result does not
    depend on how a stream is split into batches, as long as the features treat each sample
    independently.

    Parameters
    ----------
    features : module, callable, str or Features
        Features of a generation must also give as many values as they gave before.
    x : ndarray of shape (n, ...)
    device : torch.device

    Raises
    ------
    InfrastructureError
        If memory, a device or a disk failed, not a sample.

    Notes
    -----
    One call for each 1,024 samples, and at most 2 log2(1,024) more for each failing sample.
    """
    found: list[Failure] = []
    for start in range(0, len(x), BLOCK_ROWS):
        block = x[start : start + BLOCK_ROWS]
        found += [Failure(start + row, err) for row, err in _failing(features, block, device)]
    return found


def _failing(features: object, x: Array, device: torch.device) -> Iterator[Failure]:
    """Yield the failing samples of one block, by halving it."""
    try:
        _call(features, x, device)
    except FeatureError as err:
        if len(x) == 1:
            yield Failure(0, err)
            return
        half = len(x) // 2
        yield from _failing(features, x[:half], device)
        for row, error in _failing(features, x[half:], device):
            yield Failure(half + row, error)


def _call(features: object, x: Array, device: torch.device) -> None:
    """Compute the features of a block to check that they do not fail."""
    if isinstance(features, Features):
        features(x)
    else:
        _call_features(*resolve_features(features), x, device)
