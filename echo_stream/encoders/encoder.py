"""The interface of an encoder, and what is checked about what it makes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from echo_stream._common.device import is_infrastructure
from echo_stream._common.importing import said
from echo_stream._common.typing import Array
from echo_stream.errors import (
    ConfigError,
    DataTypeError,
    FeatureError,
    InfrastructureError,
    SettingName,
)
from echo_stream.samples.source import Failure
from echo_stream.samples.validation import SampleSchema


class Encoder(Protocol):
    """Makes vectors of payloads.

    The vector of a payload must not depend on the others of a call, to the last bit: only
    then is a coreset the same whatever batches a stream comes in.
    """

    @property
    def identity(self) -> str:
        """Return name and digest, which tell it from any other encoder."""

    @property
    def dim(self) -> int:
        """Return the length D of its vectors."""

    def __call__(self, payloads: Sequence[Any]) -> Array:
        """Return the vectors of n texts or bytes, of shape (n, D), float32."""


class FunctionEncoder:
    """A function of the user's as an encoder.

    Parameters
    ----------
    name : str
        `module:attribute`; it is the identity, so rename the function when it changes.
    function : callable
        Takes a list of n texts or bytes and returns vectors of shape (n, D).

    Examples
    --------
    >>> encoder = FunctionEncoder("mine:lengths", lambda texts: [[len(text)] for text in texts])
    >>> encoder.dim, encode(encoder, ["a", "abc"]).tolist()
    (1, [[1.0], [3.0]])
    """

    def __init__(self, name: str, function: Callable[[list[Any]], Any]) -> None:
        self._name, self._function = name, function
        self._dim = 0

    @property
    def identity(self) -> str:
        """Return the name."""
        return self._name

    @property
    def dim(self) -> int:
        """Return the length of its vectors; the first time that of the text "text"."""
        if not self._dim:
            self._dim = _encode_checked(self, ["text"]).shape[1]
        return self._dim

    def __call__(self, payloads: Sequence[Any]) -> Array:
        """Return the function's result as an array."""
        made = self._function(list(payloads))
        host = made.detach().cpu().numpy() if hasattr(made, "detach") else made
        return np.asarray(host, dtype=np.float32)

    def __deepcopy__(self, memo: dict[int, Any]) -> "FunctionEncoder":
        """Return itself: it never changes."""
        return self


def as_payloads(given: Any) -> list[str | bytes]:
    """Return a sequence of text or bytes as a list.

    Raises
    ------
    DataTypeError
        If it is no such sequence.
    """
    payloads = given if isinstance(given, list) else _listed(given)
    for kind in {type(payload) for payload in payloads}:
        if not issubclass(kind, (str, bytes)):
            msg = f"an encoder takes a sequence of text or bytes; got a value of {kind.__name__}"
            raise DataTypeError(msg)
    return payloads


def _listed(given: Any) -> list[Any]:
    """Return the elements of an array, a column of a data frame, or another sequence."""
    if isinstance(given, (str, bytes)):
        msg = "an encoder takes a sequence of text or bytes; got a single one, put it in a list"
        raise DataTypeError(msg)
    return list(given.tolist() if hasattr(given, "tolist") else given)


def check_dim(encoder: Encoder, schema: SampleSchema) -> None:
    """Refuse an encoder whose vectors are not those of a state or a generation.

    Raises
    ------
    ConfigError
    """
    given = SampleSchema((encoder.dim,), "float32")
    if given != schema:
        words = (
            f" {encoder.identity} gives vectors of length {encoder.dim}; expected samples of "
            f"shape {schema.shape} and dtype {schema.dtype}"
        )
        raise ConfigError(SettingName("encoder"), words)


def encode(encoder: Encoder, payloads: Sequence[Any]) -> Array:
    """Return the vectors of n payloads, of shape (n, D), float32.

    Raises
    ------
    FeatureError
        If the encoder fails, or does not return one finite vector of its length a payload.
    InfrastructureError
        If memory, a device or a disk failed.
    """
    if not len(payloads):
        return np.zeros((0, encoder.dim), np.float32)
    return _encode_checked(encoder, payloads, encoder.dim)


def encode_valid(encoder: Encoder, payloads: Sequence[Any]) -> tuple[Array, list[Failure]]:
    """Return the vectors of payloads, and those for which the encoder fails, in their order.

    Vectors have shape (n, D), float32; those of failing payloads are 0. Where all are encoded,
    that is one call; else the payloads are halved until each that fails is alone, at most
    2 log2(n) more calls for each.

    Raises
    ------
    InfrastructureError
        If memory, a device or a disk failed, not a payload.
    """
    try:
        return encode(encoder, payloads), []
    except FeatureError as err:
        if len(payloads) == 1:
            return np.zeros((1, encoder.dim), np.float32), [Failure(0, err)]
    half = len(payloads) // 2
    first, failed = encode_valid(encoder, payloads[:half])
    rest, more = encode_valid(encoder, payloads[half:])
    failed += [Failure(half + row, error) for row, error in more]
    return np.concatenate([first, rest]), failed


def _encode_checked(encoder: Encoder, payloads: Sequence[Any], dim: int | None = None) -> Array:
    """Do what `encode` does; without dim vectors may have any length."""
    name = encoder.identity
    try:
        vectors = encoder(payloads)
    except Exception as err:  # the user's code, or a model's, may raise anything
        if is_infrastructure(err):
            msg = f"the encoder {name} cannot run here: {said(err)}; nothing has been skipped"
            raise InfrastructureError(msg) from err
        msg = f"the encoder {name} failed: {said(err)}"
        raise FeatureError(msg) from err
    if vectors.ndim != 2 or len(vectors) != len(payloads) or dim not in (None, vectors.shape[1]):
        length = "a length" if dim is None else f"length {dim}"
        msg = (
            f"the encoder {name} must give one vector of {length} a payload; {len(payloads)} "
            f"payloads gave an array of shape {vectors.shape}"
        )
        raise FeatureError(msg)
    if not np.isfinite(vectors).all():
        msg = f"the encoder {name} gave values that are not finite; correct it, or the payloads"
        raise FeatureError(msg)
    return vectors
