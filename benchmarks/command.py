"""How a benchmark is called from the shell: what goes wrong is told in a sentence."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from echo_stream.errors import EchoStreamError

NATURAL = click.IntRange(min=1)


def call(command: click.Command) -> None:
    """Run a command; a mistake ends it with exit code 1, and a sentence for a traceback.

    What is printed on an interrupt, and wrong options, are click's affair.
    """
    try:
        command()
    except EchoStreamError as err:
        sys.exit(f"error: {err}")
    except OSError as err:  # of a path that was given
        if err.filename is None:
            raise
        sys.exit(f"error: {err.filename}: {err.strerror}")


@contextmanager
def interrupted_once() -> Iterator[None]:
    """Have a first SIGINT interrupt, and none after it: nothing else is to be done about it."""

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)
