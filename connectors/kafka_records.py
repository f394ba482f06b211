"""Records of Kafka, as samples and as messages that are none."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from echo_stream.connectors.codecs import CodecConfig, Decoded, DecodeError, decode
from echo_stream.errors import ShapeError
from echo_stream.samples import Origin, Samples, as_objects
from echo_stream.source import RejectedSample
from echo_stream.validation import SampleSchema


class RecordDecoder:
    """Turn records into samples of one schema.

    Parameters
    ----------
    codec : CodecConfig

    Attributes
    ----------
    schema : SampleSchema or None
        What every sample must have; the first one decides where nobody has before.
    """

    def __init__(self, codec: CodecConfig) -> None:
        self._codec = codec
        self.schema: SampleSchema | None = None

    def decode(self, records: Iterable[Any]) -> tuple[Samples | None, list[RejectedSample]]:
        """Return the samples of records, None if there are none, and the rejected records."""
        samples: list[tuple[Decoded, Origin]] = []
        rejected: list[RejectedSample] = []
        for place, record in enumerate(records):
            origin = Origin(record.topic, record.partition, record.offset, record.timestamp)
            try:
                decoded = decode(record.key, record.value, record.headers, self._codec)
                self._check_schema(decoded)
            except (DecodeError, ShapeError) as err:
                rejected.append(_rejected(record, origin, err, place))
            else:
                samples.append((decoded, origin))
        return _side_by_side(samples), rejected

    def _check_schema(self, decoded: Decoded) -> None:
        """Refuse a sample unlike those before it; the first one decides."""
        x = decoded.x[np.newaxis]
        if self.schema is None:
            self.schema = SampleSchema.of(x)
        self.schema.check(x)


def _side_by_side(samples: list[tuple[Decoded, Origin]]) -> Samples | None:
    """Put decoded samples side by side; None if there are none."""
    if not samples:
        return None
    ids = [
        decoded.id or f"{origin.topic}-{origin.partition}-{origin.offset}"
        for decoded, origin in samples
    ]
    return Samples(
        x=np.stack([decoded.x for decoded, _ in samples]),
        ids=as_objects(ids),
        labels=as_objects([decoded.label for decoded, _ in samples]),
        origins=as_objects([origin for _, origin in samples]),
    )


def _rejected(
    record: Any, origin: Origin, err: DecodeError | ShapeError, place: int
) -> RejectedSample:
    """Return a record that is no sample, as it arrived."""
    return RejectedSample(
        reason=err.reason if isinstance(err, DecodeError) else "schema",
        message=str(err),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        origin=origin,
        place=place,
    )
