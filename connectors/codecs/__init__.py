"""Messages: from the bytes of a Kafka record to samples, and back.

Nothing in a message is trusted: limits are checked before it is decoded, and
whatever is wrong ends in a `DecodeError` with a reason.
"""

from echo_stream.connectors.codecs.config import CodecConfig, Format
from echo_stream.connectors.codecs.decoding import decode
from echo_stream.connectors.codecs.encoding import encode
from echo_stream.connectors.codecs.messages import Decoded, DecodeError, Headers

__all__ = ["CodecConfig", "DecodeError", "Decoded", "Format", "Headers", "decode", "encode"]
