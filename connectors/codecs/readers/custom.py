"""Codecs of the user's own: `module:factory`, whose object decodes messages."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from echo_stream._common.importing import import_attribute, said
from echo_stream.connectors.codecs.batches import as_decoded, check_size
from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.messages import Codec, Decoded, DecodeError, Headers, Sample
from echo_stream.errors import ConfigError, SettingName, ShapeError, first_line
from echo_stream.samples.samples import as_objects


class LoadedCodec(NamedTuple):
    """A codec, and the `module:factory` that has made it: another process makes its own."""

    spec: str
    decode: Callable[[bytes, Headers, bytes | None], Sequence[Sample]]


def load_codec(spec: str) -> LoadedCodec:
    """Return the codec that the factory `module:factory` makes.

    Raises
    ------
    ConfigError
        The factory cannot be imported or fails, or what it returns cannot decode.
    """
    factory = import_attribute(spec, "codec", "module:factory")
    try:
        codec: Codec = factory()
    except Exception as err:  # the user's factory may raise anything
        words = f" {spec!r}: {spec}() failed: {said(err)}"
        raise ConfigError(SettingName("codec"), words) from err
    if not callable(getattr(codec, "decode", None)):
        words = f" {spec!r}: {spec}() returned {type(codec).__name__}, which has no decode()"
        raise ConfigError(SettingName("codec"), words)
    return LoadedCodec(spec, codec.decode)


def read_custom(
    codec: Codec, value: bytes, headers: Headers, key: bytes | None, config: CodecConfig
) -> Decoded:
    """Return the samples that a codec finds in a message; values need not be finite.

    Raises
    ------
    DecodeError
        The codec fails, or returns something else than samples.
    DataError
        Samples have different shapes, or are none.
    """
    try:
        samples = list(codec.decode(value, headers, key))
    except Exception as err:  # the user's codec may raise anything
        msg = f"codec failed: {said(err)}"
        raise DecodeError(msg) from err
    if not samples or not all(isinstance(sample, Sample) for sample in samples):
        names = ", ".join(sorted({type(sample).__name__ for sample in samples})) or "nothing"
        msg = f"codec returned {names}; return a list of at least one Sample"
        raise DecodeError(msg)
    return _side_by_side(samples, config)


def _side_by_side(samples: Sequence[Sample], config: CodecConfig) -> Decoded:
    """Return samples of one shape and dtype as one array."""
    try:
        arrays = [np.asarray(sample.x) for sample in samples]
    except Exception as err:  # x may be anything
        msg = f"codec returned an x that is not an array ({first_line(err)}); use numbers"
        raise ShapeError(msg) from err
    kinds = sorted({f"shape {x.shape} and dtype {x.dtype}" for x in arrays})
    if len(kinds) > 1:
        msg = f"codec returned samples of {' and of '.join(kinds[:2])}; a message holds one kind"
        raise ShapeError(msg)
    check_size(sum(x.size for x in arrays), config)
    x = np.stack(arrays)
    ids = [sample.id for sample in samples]
    return as_decoded(x, ids, as_objects([sample.label for sample in samples]), config)
