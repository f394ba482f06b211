"""Decoding in a process of its own, which a message can kill without further harm."""

import signal
import subprocess
import sys
from contextlib import suppress

from echo_stream.connectors.codecs import CodecConfig, Decoded, DecodeError
from echo_stream.connectors.kafka.isolated.child import READY
from echo_stream.connectors.kafka.isolated.protocol import as_request, as_setup, from_answer
from echo_stream.connectors.kafka.records import Record
from echo_stream.connectors.process.child_limits import MIB, Guard, Limits, resident_bytes
from echo_stream.errors import InfrastructureError
from echo_stream.samples.changes import Change
from echo_stream.samples.validation import SampleSchema

_START_S = 120.0  # a codec may load much
MESSAGE_S = 60.0
_END_S = 1.0  # what a process without requests may take to end
MESSAGE_BYTES = 1024 * MIB  # of memory beside what a message's limits explain
_BYTES_EACH = 64  # of memory for each byte, element or pixel that they allow


class DeadlyMessageError(DecodeError):
    """Report a message that kills the process that decodes it."""


class _DiedError(Exception):
    """The process has died, or was killed, while it was asked; the text says how."""


class IsolatedDecoder:
    """Decode messages one by one as `read_message` does, in a child process.

    The child is started when it is first asked, and again after each death. A message may take
    a minute there, and memory as its limits allow.

    Parameters
    ----------
    config : CodecConfig
        With a codec that `load_codec` has made, or none.
    """

    def __init__(self, config: CodecConfig) -> None:
        self._config = config
        self._child: subprocess.Popen[bytes] | None = None
        largest = max(config.max_message_bytes, config.max_elements, config.max_pixels)
        self._memory_bytes = MESSAGE_BYTES + _BYTES_EACH * largest
        self._answer_bytes = 16 * (config.max_message_bytes + config.max_elements) + MIB
        self._limits = Limits()

    def read(self, record: Record, schema: SampleSchema | None) -> Decoded | Change:
        """Return what a message brings.

        Raises
        ------
        DeadlyMessageError
            The message kills a process that has decoded nothing else.
        DecodeError
            As `read_message` does.
        InfrastructureError
            The process cannot be started.
        """
        while True:
            is_alone = self._child is None
            try:
                return self._ask(record, schema)
            except _DiedError as err:
                # A message before this one can have done the harm: alone, it is tried again.
                if is_alone:
                    msg = f"killed the decoder: {err}"
                    raise DeadlyMessageError(msg) from None

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._end(self._child)

    def _ask(self, record: Record, schema: SampleSchema | None) -> Decoded | Change:
        """Ask once."""
        child = self._child or self._start()
        answer = self._say(child, as_request(record, schema), self._limits)
        try:
            return from_answer(answer)
        except (ValueError, KeyError, TypeError) as err:
            if isinstance(err, DecodeError):
                raise
            self._end(child)
            msg = f"the decoder process returned an invalid reply ({type(err).__name__})"
            raise _DiedError(msg) from err

    def _start(self) -> "subprocess.Popen[bytes]":
        """Start the process, and wait until it has made its codec."""
        child = self._child = subprocess.Popen(
            [sys.executable, "-m", "echo_stream.connectors.kafka.isolated.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt from the terminal is the parent's business
        )
        try:
            answer = self._say(child, as_setup(self._config), Limits(_START_S))
        except _DiedError as err:
            msg = f"the process that decodes suspected messages does not start: {err}"
            raise InfrastructureError(msg) from err
        assert answer == READY
        taken = resident_bytes(child.pid)
        self._limits = Limits(MESSAGE_S, taken + self._memory_bytes)
        return child

    def _say(self, child: "subprocess.Popen[bytes]", line: bytes, limits: Limits) -> bytes:
        """Write a line to the process within limits, and return the one that it answers."""
        assert child.stdin is not None
        assert child.stdout is not None
        guard = Guard(child, limits)
        try:
            child.stdin.write(line)
            child.stdin.flush()
            answer = child.stdout.readline(self._answer_bytes)
        except BrokenPipeError:
            answer = b""
        finally:
            guard.end()
        if not answer.endswith(b"\n"):
            self._end(child)
            is_ended = guard.reason is not None
            raise _DiedError(f"it was ended {guard.reason}" if is_ended else _words(child))
        return answer

    def _end(self, child: "subprocess.Popen[bytes]") -> None:
        """Wait for the end of a process that has died, or kill it."""
        self._child = None
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # of what it has not read
            child.stdin.close()
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        assert child.stdout is not None
        child.stdout.close()


def _words(child: "subprocess.Popen[bytes]") -> str:
    """Return how a process has ended."""
    code = child.returncode
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
