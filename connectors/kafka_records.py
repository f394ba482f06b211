"""Records of Kafka, as samples and as messages that are none."""

from collections.abc import Iterable
from typing import Any

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
        parts: list[Samples] = []
        rejected: list[RejectedSample] = []
        for place, record in enumerate(records):
            origin = Origin(record.topic, record.partition, record.offset, record.timestamp)
            try:
                decoded = decode(record.key, record.value, record.headers, self._codec)
                self._check_schema(decoded)
            except (DecodeError, ShapeError) as err:
                rejected.append(_rejected(record, origin, err, place))
            else:
                parts.append(_samples(decoded, origin))
        return (Samples.concatenate(parts) if parts else None), rejected

    def _check_schema(self, decoded: Decoded) -> None:
        """Refuse samples unlike those before them; the first ones decide."""
        if self.schema is None:
            self.schema = SampleSchema.of(decoded.x)
        self.schema.check(decoded.x)


def _samples(decoded: Decoded, origin: Origin) -> Samples:
    """Return what a message holds as samples that know where they come from."""
    n = len(decoded.x)
    return Samples(
        x=decoded.x,
        ids=as_objects([id or _name(origin, decoded, row) for row, id in enumerate(decoded.ids)]),
        labels=as_objects(decoded.labels),
        origins=as_objects([origin] * n),
    )


def _name(origin: Origin, decoded: Decoded, row: int) -> str:
    """Return what to call a sample without an id: by its place in the log."""
    name = f"{origin.topic}-{origin.partition}-{origin.offset}"
    return f"{name}-{row}" if decoded.is_batch else name


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
