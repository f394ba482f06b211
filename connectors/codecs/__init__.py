"""Messages: from the bytes of a Kafka record to samples, and back.

Nothing in a message is trusted: limits are checked before it is decoded, and
whatever is wrong ends in a `DecodeError` with a reason.
"""

from echo_stream.connectors.codecs.config import CodecConfig, Format, SampleFormat
from echo_stream.connectors.codecs.decoding import decode, read_message
from echo_stream.connectors.codecs.encoding import encode, encode_batch
from echo_stream.connectors.codecs.messages import Codec, Decoded, DecodeError, Headers, Sample
from echo_stream.connectors.codecs.readers.custom import load_codec

__all__ = [
    "Codec",
    "CodecConfig",
    "DecodeError",
    "Decoded",
    "Format",
    "Headers",
    "Sample",
    "SampleFormat",
    "decode",
    "encode",
    "encode_batch",
    "load_codec",
    "read_message",
]
