"""What is said to a process that decodes messages, and what it answers: a line of JSON each."""

import base64
import json
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from echo_stream.connectors.codecs import CodecConfig, Decoded, DecodeError, load_codec
from echo_stream.connectors.codecs.readers.custom import LoadedCodec
from echo_stream.connectors.kafka.records import Record
from echo_stream.samples.changes import Change, LateLabel
from echo_stream.samples.samples import Origin
from echo_stream.samples.validation import SampleSchema


def as_setup(config: CodecConfig) -> bytes:
    """Return the first line: how messages are read, and where modules are found."""
    codec = config.codec
    assert codec is None or isinstance(codec, LoadedCodec), "other codecs cannot be loaded again"
    fields = {
        **{name: getattr(config, name) for name in CodecConfig.__slots__ if name != "codec"},
        "codec": None if codec is None else codec.spec,
    }
    return _line({"config": fields, "path": sys.path})


def from_setup(line: bytes) -> CodecConfig:
    """Do in the child what the first line says."""
    setup = json.loads(line)
    sys.path[:] = setup["path"]
    fields = setup["config"]
    shape, spec = fields.pop("shape"), fields.pop("codec")
    return CodecConfig(
        **fields,
        shape=None if shape is None else tuple(shape),
        codec=None if spec is None else load_codec(spec),
    )


def as_request(record: Record, schema: SampleSchema | None) -> bytes:
    """Return the line that asks what a message holds."""
    return _line(
        {
            "key": _packed(record.key),
            "value": _packed(record.value),
            "headers": [(name, _packed(value)) for name, value in record.headers],
            "schema": None if schema is None else asdict(schema),
        }
    )


def from_request(line: bytes) -> tuple[Record, SampleSchema | None]:
    """Undo `as_request`; where the message comes from is left out."""
    fields = json.loads(line)
    headers = [(name, _unpacked(value)) for name, value in fields["headers"]]
    record = Record(
        Origin("", 0, 0, 0), _unpacked(fields["key"]), _unpacked(fields["value"]), headers
    )
    schema = fields["schema"]
    return record, schema and SampleSchema(tuple(schema["shape"]), schema["dtype"])


def as_answer(found: Decoded | Change | DecodeError) -> bytes:
    """Return the line that says what a message holds, or what is wrong with it."""
    if isinstance(found, DecodeError):
        return _line({"error": [str(found), found.reason, found.exception]})
    if isinstance(found, Decoded):
        x = {
            "dtype": found.x.dtype.name,
            "shape": found.x.shape,
            "content": _packed(np.ascontiguousarray(found.x).tobytes()),
        }
        payloads = [
            one if isinstance(one, str) else {"bytes": _packed(one)} for one in found.payloads or ()
        ]
        rest = [list(found.ids), list(found.labels), found.is_batch, list(found.ignored)]
        return _line({"samples": [x, *rest, payloads]})
    assert isinstance(found, LateLabel), "a tombstone has nothing to be decoded"
    return _line({"label": [found.id, found.label]})


def from_answer(line: bytes) -> Decoded | Change:
    """Undo `as_answer`, by raising where it is an error."""
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise DecodeError(*answer["error"])
    if "label" in answer:
        return LateLabel(*answer["label"])
    x, ids, labels, is_batch, ignored, payloads = answer["samples"]
    content = np.frombuffer(_unpacked(x["content"]) or b"", x["dtype"])
    arrived = [one if isinstance(one, str) else _unpacked(one["bytes"]) or b"" for one in payloads]
    vectors = content.reshape(x["shape"])
    return Decoded(vectors, ids, labels, is_batch, ignored, arrived or None)


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _packed(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _unpacked(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
