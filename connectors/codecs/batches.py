"""Samples of a message that holds many, checked together."""

from collections.abc import Sequence

import numpy as np

from echo_stream._common.typing import Array
from echo_stream.connectors.codecs.config import CodecConfig
from echo_stream.connectors.codecs.messages import Decoded, DecodeError
from echo_stream.samples.samples import as_objects, label_of
from echo_stream.samples.validation import as_samples, check_layout


def as_decoded(
    x: Array, ids: Sequence[object] | Array | None, labels: object, config: CodecConfig
) -> Decoded:
    """Return samples as what a message holds; their values need not be finite.

    Parameters
    ----------
    x : ndarray of shape (n, ...)
    ids : sequence of n, or None
        None where one has no id.
    labels : array-like of shape (n,), or None
    config : CodecConfig

    Raises
    ------
    DecodeError
        There are too many values.
    DataError
        x, a label or an id can be none; messages name the rows from 0.
    """
    check_layout(x.shape, x.dtype)
    check_size(x.size, config)
    n = len(x)
    names = [None] * n if ids is None else list(ids)
    # Only labels and ids: whether x is finite is asked later, for all formats.
    checked = as_samples(
        np.broadcast_to(np.uint8(0), (n, 1)),
        [None] * n if labels is None else labels,
        as_objects([0 if name is None else name for name in names]),
    )
    kept = zip(names, checked.ids.tolist(), strict=True)
    return Decoded(
        x=x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("=")),
        ids=[None if name is None else str(id) for name, id in kept],
        labels=[] if checked.labels is None else list(map(label_of, checked.labels)),
        is_batch=True,
    )


def check_size(num_values: int, config: CodecConfig) -> None:
    """Raise DecodeError for more values than a message may have."""
    if num_values > config.max_elements:
        msg = f"x has over {config.max_elements} elements in all, which is the limit of a message"
        raise DecodeError(msg)
