"""A process that decodes messages, one after the other, and may die of one.

`python -m echo_stream.connectors.kafka.isolated.child` reads requests from its standard input, and
writes answers to its standard output.
"""

import os
import resource
import signal
import sys

from echo_stream.connectors.codecs import DecodeError, read_message
from echo_stream.connectors.kafka.isolated.protocol import as_answer, from_request, from_setup

READY = b"ready\n"
_ALARM_S = 70  # ends a decoder that hangs, when its parent has died and does not


def main() -> None:
    """Answer until there are no requests any more."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its death is expected
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a codec prints is not an answer
    requests = sys.stdin.buffer
    config = from_setup(requests.readline())
    answers.write(READY)
    answers.flush()
    for line in requests:
        signal.alarm(_ALARM_S)
        record, schema = from_request(line)
        try:
            answer = as_answer(
                read_message(record.key, record.value, record.headers, config, schema)
            )
        except DecodeError as err:
            answer = as_answer(err)
        answers.write(answer)
        answers.flush()
        signal.alarm(0)


if __name__ == "__main__":
    main()
