"""Decode records of Kafka into samples, and reject invalid messages."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from echo_stream._common.typing import Label
from echo_stream.connectors.codecs import CodecConfig, Decoded, DecodeError, read_message
from echo_stream.connectors.codecs.blocks import Block, Blocks
from echo_stream.connectors.codecs.fields import id_of, ids_in_keys, label_in
from echo_stream.connectors.codecs.messages import Named
from echo_stream.connectors.files.inputs import Inputs
from echo_stream.connectors.kafka.isolated.decoder import DeadlyMessageError, IsolatedDecoder
from echo_stream.connectors.kafka.isolated.notes import DecodingNotes
from echo_stream.connectors.kafka.queue import WaitingRecords
from echo_stream.connectors.kafka.records import Lost, Record, Records
from echo_stream.encoders.encoder import Encoder, check_dim, encode_valid
from echo_stream.errors import ConfigError, DataError, SettingName, ShapeError
from echo_stream.run.bad_messages import split_off_failures
from echo_stream.samples.changes import Change
from echo_stream.samples.samples import Origin, Samples, as_objects
from echo_stream.samples.source import Batch, RejectedSample, Skipped
from echo_stream.samples.validation import (
    SampleSchema,
    check_payloads,
    check_texts,
    finite_rows,
    long_texts,
)

OnTombstone: TypeAlias = Literal["forget", "ignore"]
"""What a message without a value does: its id is forgotten, or nothing."""

_NO_HEADERS: Named = {}
_LEAST_ENCODED = 64  # samples at a time, while it is not known how long the encoder takes
_ENCODING_SECONDS = 1.0  # a run looks at signals and at what is due between batches


class _Run:
    """Records that follow one another, the samples of which lie in one block.

    Parameters
    ----------
    block : Block or None
        None: each is decoded by itself.
    """

    __slots__ = ("block", "named", "records")

    def __init__(self, block: Block | None) -> None:
        self.block = block
        self.records = Records()
        self.named: list[Named] = []  # headers of each


class RecordDecoder:
    """Turn records into samples of one schema.

    Parameters
    ----------
    codec : CodecConfig
    on_tombstone : {"forget", "ignore"}
    is_shared : bool
        Whether others read parts of the log: labels and tombstones say where they stand, then.
    notes : Path, optional
        Folder for `DecodingNotes`.
    encoder : Encoder, optional
        Makes the vectors, where codec says that one does.

    Attributes
    ----------
    schema : SampleSchema or None
        Of every sample; where neither `expect` nor the codec has set it, that of the first one.

    Notes
    -----
    Messages of one layout that follow one another are decoded as a block. What comes out
    is what would if each was decoded by itself.
    """

    def __init__(
        self,
        codec: CodecConfig,
        on_tombstone: OnTombstone = "forget",
        *,
        is_shared: bool = False,
        notes: Path | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self._encoder, self._most_encoded = encoder, _LEAST_ENCODED
        self.notes = None if notes is None else DecodingNotes(notes)
        self._isolated = IsolatedDecoder(codec)
        self._codec = codec
        self._is_shared = is_shared
        self._forgets = on_tombstone == "forget"
        self._blocks = Blocks(codec)
        self.schema = codec.schema
        self.inputs = _inputs(codec, encoder)

    def expect(self, schema: SampleSchema) -> None:
        """Reject messages of any other schema from now on.

        Raises
        ------
        ConfigError
            If the configuration says that samples are others.
        """
        if self._encoder is not None:
            check_dim(self._encoder, schema)
        said = self._codec.schema
        if said not in (None, schema):
            raise ConfigError(
                SettingName("dtype"),
                f" {said.dtype} and ",
                SettingName("shape"),
                f" {said.shape} differ from those of the state or the generation: dtype "
                f"{schema.dtype} and shape {schema.shape}; use these or omit both",
            )
        self.schema = schema

    def decode(self, waiting: WaitingRecords, max_samples: int) -> Batch:
        """Take records until they have brought max_samples, or no more wait.

        1. Take the next records of one partition. A batch that cannot be unpacked is rejected.
        2. Split them into parts that lie in one block each; others are alone.
        3. Collect parts of the same block into a run, and decode it when another one begins.

        A message is never split: where the last one holds many samples, they can be more.
        With an encoder there are no more than it encodes in about a second.
        """
        if self._encoder is not None:
            return self._encoded(self._decoded(waiting, min(max_samples, self._most_encoded)))
        return self._decoded(waiting, max_samples)

    def _encoded(self, batch: Batch) -> Batch:
        """Give samples their vectors; reject the messages of those for which that fails.

        Raises
        ------
        InfrastructureError
            If memory, a device or a disk failed.
        """
        samples = batch.samples
        if samples is None:
            return batch
        assert self._encoder is not None
        assert samples.payloads is not None
        began = time.monotonic()
        vectors, failures = encode_valid(self._encoder, samples.payloads.tolist())
        rate = len(samples) / max(time.monotonic() - began, 1e-6)
        self._most_encoded = max(_LEAST_ENCODED, int(rate * _ENCODING_SECONDS))
        encoded = batch._replace(samples=replace(samples, x=vectors))
        return split_off_failures(encoded, failures)

    def _decoded(self, waiting: WaitingRecords, max_samples: int) -> Batch:
        """Do what `decode` does, but for encoding."""
        found = _Found()
        while waiting and (missing := found.missing(max_samples)) > 0:
            records = waiting.next(missing)
            if records.lost is None:
                self._collect(records, waiting, found, max_samples)
            else:
                self._end_run(found)
                found.reject_batch(records, records.lost)
                waiting.take(1)
        self._end_run(found)
        if self.notes is not None:
            self.notes.end()
        return found.as_batch()

    def _collect(
        self, records: Records, waiting: WaitingRecords, found: "_Found", max_samples: int
    ) -> None:
        """Add records to runs, part by part, and take those that were added."""
        is_noted = False
        for block, part, named in self._parts(records):
            missing = found.missing(max_samples)
            if missing <= 0:
                return
            if block is None and not is_noted and self._is_native(part):
                self._note(records.origins)
                is_noted = True
            if block is not found.run.block:
                self._end_run(found, block)
            taken = part if len(part) <= missing else part[:missing]
            waiting.take(len(taken))
            found.extend_run(taken, named[:missing])
            if block is None:  # how many samples it brings is known only now
                self._end_run(found)

    def close(self) -> None:
        """Remove the note, and end the process for suspected messages."""
        self._isolated.close()
        if self.notes is not None:
            self.notes.close()

    def _is_native(self, records: Records) -> bool:
        """Return whether native code, which it could crash, decodes the message looked at last."""
        is_sample = self.notes is not None and records.values[0] is not None
        return is_sample and self._blocks.is_native

    def _note(self, origins: Sequence[Origin]) -> None:
        """Note that messages are going to be decoded one by one."""
        assert self.notes is not None
        self.notes.begin(origins[0], origins[-1])
        if not self.notes.has_suspects:
            self._isolated.close()

    def _read(self, record: Record) -> Decoded | Change:
        """Return what a message brings; one that is suspected is decoded in another process."""
        is_native = record.value is not None
        if is_native and self.notes is not None and self.notes.is_suspect(record.origin):
            return self._isolated.read(record, self.schema)
        return read_message(record.key, record.value, record.headers, self._codec, self.schema)

    def _parts(self, records: Records) -> Iterator[tuple[Block | None, Records, Sequence[Named]]]:
        """Yield records in parts of one block each, or alone, and their headers."""
        if records.headers is None:
            block = self._blocks.of_all(records.values)
            if block is not None:
                yield block, records, [_NO_HEADERS] * len(records)
                return
        start, last, named = 0, None, list[Named]()
        for at, value in enumerate(records.values):
            headers = records.headers[at] if records.headers else None
            named.append(dict(headers) if headers else _NO_HEADERS)
            block = None
            if value is not None:
                records.values[at] = whole = bytes(value)  # from now on: it is looked at again
                block = self._blocks.of(whole, named[at])
            if at > start and (block is None or block != last):
                yield last, records[start:at], named[start:at]
                start = at
            last = block
            if block is None:  # not all at once: the first may bring all that is asked for
                yield None, records[at : at + 1], named[at:]
                start = at + 1
        if start < len(records):
            yield last, records[start:], named[start:]

    def _end_run(self, found: "_Found", following: Block | None = None) -> None:
        """Decode the records of a run, and begin one of the following block."""
        run = found.run
        if run.block is None:
            self._decode_each(range(len(run.records)), found)
        else:
            self._decode_block(run.block, found)
        found.run = _Run(following)

    def _decode_block(self, block: Block, found: "_Found") -> None:
        """Decode the records of a run together, but for those that are invalid.

        1. Read all values as one array. 2. Take ids and labels from keys and headers.
        3. Decode invalid ones by themselves, which finds what is wrong with each.
        4. Add the others.
        """
        run = found.run
        x = block.read(run.records.values)
        schema = SampleSchema.of(x)
        if self.schema not in (None, schema):
            self._decode_each(range(len(run.records)), found)
            return
        ids, labels, invalid = _fields_of(run)
        is_good = finite_rows(x)
        is_good[invalid] = False
        is_good[self._too_long(ids, labels)] = False
        origins = run.records.origins
        if not is_good.all():
            self._decode_each(np.flatnonzero(~is_good).tolist(), found)
            x, origins = x[is_good], list(compress(origins, is_good))
            ids, labels = list(compress(ids, is_good)), list(compress(labels, is_good))
        if origins:
            self.schema = schema
            found.add(Samples(x, as_objects(ids), as_objects(labels), as_objects(origins)))

    def _decode_each(self, places: Iterable[int], found: "_Found") -> None:
        """Decode some records of a run one by one, and reject those that are invalid."""
        for place in places:
            record = found.run.records[place]
            if record.value is None and not self._forgets:
                found.num_tombstones += 1
                continue
            try:
                self._decode_one(record, found)
            except (DecodeError, ShapeError) as err:
                found.is_cut |= isinstance(err, DeadlyMessageError)
                found.reject(record, err, place)

    def _decode_one(self, record: Record, found: "_Found") -> None:
        """Add the samples of a record, or the change that it asks for.

        Raises
        ------
        DecodeError, ShapeError
            If it is invalid.
        """
        decoded = self._read(record)
        if not isinstance(decoded, Decoded):
            self._check_texts([decoded.id], [getattr(decoded, "label", None)])
            origin = record.origin if self._is_shared else None
            found.changes.append(decoded._replace(place=found.num_samples, origin=origin))
            return
        if self._encoder is None:  # else the encoder gives all vectors the same length
            if self.schema is None:
                self.schema = SampleSchema.of(decoded.x)
            self.schema.check(decoded.x)
        samples = _samples(decoded, record.origin)
        self._check_texts(samples.ids.tolist(), decoded.labels, decoded.payloads or ())
        self.inputs.ignore(decoded.ignored)
        found.add(samples)

    def _too_long(self, ids: Sequence[str], labels: Sequence[Label]) -> list[int]:
        """Return the places of ids or labels that have more bytes than allowed."""
        most = self._codec.max_text_bytes
        too_long = set(long_texts(ids, most)) | set(long_texts(labels, most))
        return sorted(too_long)

    def _check_texts(
        self, ids: Sequence[str], labels: Sequence[Label], payloads: Sequence[str | bytes] = ()
    ) -> None:
        """Raise DecodeError for an id, a label or a payload that has more bytes than allowed."""
        try:
            check_payloads(payloads, self._codec.max_payload_bytes)
            check_texts("id", ids, self._codec.max_text_bytes)
            check_texts("label", labels, self._codec.max_text_bytes)
        except DataError as err:
            raise DecodeError(str(err)) from err


@dataclass(slots=True)
class _Found:
    """What records have brought so far; it ends early after one that may have taken minutes."""

    run: _Run = field(default_factory=lambda: _Run(None))  # not decoded yet
    parts: list[Samples] = field(default_factory=list)
    rejected: list[RejectedSample] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    num_tombstones: int = 0
    num_samples: int = 0
    is_cut: bool = False
    records: Records = field(default_factory=Records)  # those of the run are the last ones

    def missing(self, max_samples: int) -> int:
        """Return how many samples may be added, where each record of the run brings one."""
        return 0 if self.is_cut else max_samples - self.num_samples - len(self.run.records)

    def extend_run(self, records: Records, named: Sequence[Named]) -> None:
        """Add records and their headers to the run."""
        self.run.records.extend(records)
        self.run.named += named
        self.records.extend(records)

    def add(self, samples: Samples) -> None:
        """Take in the next samples."""
        self.parts.append(samples)
        self.num_samples += len(samples)

    def reject(self, record: Record, err: DecodeError | ShapeError, place: int) -> None:
        """Reject the record at a place of the run."""
        self.rejected.append(
            RejectedSample(
                reason=err.reason if isinstance(err, DecodeError) else "schema",
                message=str(err),
                key=record.key,
                value=record.value,
                headers=tuple(record.headers),
                origin=record.origin,
                place=len(self.records) - len(self.run.records) + place,
                exception=err.exception if isinstance(err, DecodeError) else type(err).__name__,
            )
        )

    def reject_batch(self, records: Records, lost: Lost) -> None:
        """Reject a batch, for which there is one record, at its last offset."""
        last = records.origins[0]
        self.rejected.append(
            RejectedSample(
                reason="batch",
                message=lost.message,
                key=None,
                value=None,
                headers=(),
                origin=last._replace(offset=lost.first),
                place=len(self.records),
                exception=lost.exception,
                last_offset=last.offset,
                num_messages=lost.number,
            )
        )
        self.records.extend(records)

    def as_batch(self) -> Batch:
        """Return all of it; which offsets were skipped is not known here."""
        samples = Samples.concatenate(self.parts) if self.parts else None
        skipped = Skipped(tombstones=self.num_tombstones)
        num_messages = len(self.records)
        return Batch(samples, self.rejected, skipped, num_messages, self.changes, self.records)


def _fields_of(run: _Run) -> tuple[list[str], list[Label], list[int]]:
    """Return ids and labels of messages whose values have neither, and which are invalid."""
    if not any(run.named):
        ids = ids_in_keys(run.records.keys)
        return _named(ids, run.records.origins), [None] * len(run.records), []
    ids = []
    labels: list[Label] = []
    invalid = []
    for place, (key, named) in enumerate(zip(run.records.keys, run.named, strict=True)):
        id = label = None
        try:
            id, label = id_of(key, named, {}), label_in(named, {})
        except DecodeError:  # which decoding it by itself raises again
            invalid.append(place)
        ids.append(id)
        labels.append(label)
    return _named(ids, run.records.origins), labels, invalid


def _inputs(codec: CodecConfig, encoder: Encoder | None) -> Inputs:
    """Return what is taken of messages, in words."""
    label = codec.label_field or "label (or y)"
    inputs = Inputs(
        codec.vector_field,
        f"header, field or column {label}",
        "header, field, column or key" if codec.id_field is None else f"field {codec.id_field}",
    )
    payload = "the message" if codec.payload_field is None else f"field {codec.payload_field}"
    if encoder is not None:
        inputs.features = f"the vector of {payload} by {encoder.identity}"
    elif codec.payload_field is not None:
        inputs.features = f"{codec.vector_field} (payload: {payload})"
    return inputs


def _samples(decoded: Decoded, origin: Origin) -> Samples:
    """Return what a message holds as samples that know where they come from."""
    name = _name(origin)
    ids = [
        id or (f"{name}-{row}" if decoded.is_batch else name) for row, id in enumerate(decoded.ids)
    ]
    return Samples(
        x=decoded.x
        if decoded.x.flags.writeable
        else decoded.x.copy(),  # so that the message can be freed
        ids=as_objects(ids),
        labels=as_objects(decoded.labels),
        origins=as_objects([origin] * len(ids)),
        payloads=None if decoded.payloads is None else as_objects(decoded.payloads),
    )


def _named(ids: list[str | None], origins: Sequence[Origin]) -> list[str]:
    """Return the ids of messages of one sample each, made of their places where they have none."""
    return [id or _name(origin) for id, origin in zip(ids, origins, strict=True)]


def _name(origin: Origin) -> str:
    """Return what to call a sample without an id: by its place in its log."""
    return f"{origin.topic}-{origin.partition}-{origin.offset}"
