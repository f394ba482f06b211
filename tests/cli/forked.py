"""Commands in processes of their own that need not import torch first.

They are forked from a process that has imported everything already, and then run `main` as
`echo-stream` does. So a test can start dozens of them, where an import takes seconds each.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.cli.commands import PROCESS_LIMIT_S

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "echo_stream.connectors.consumer",
        "echo_stream.connectors.files",
        "echo_stream.connectors.kafka_sink",
        "echo_stream.connectors.kafka_source",
        "tests.cli.forked",
    ]
)


@dataclass(frozen=True, slots=True)
class ForkedCommand:
    """A command that runs, and the file that gets what it says."""

    process: ForkServerProcess
    log: Path

    @property
    def pid(self) -> int | None:
        """The id of its process."""
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL it, and wait until it is gone."""
        self.process.kill()
        self.process.join()

    def terminate(self) -> None:
        """SIGTERM it."""
        self.process.terminate()

    def finish(self, limit_s: float = PROCESS_LIMIT_S) -> None:
        """Wait until it ends, which it has to do well."""
        self.process.join(limit_s)
        assert self.process.exitcode == 0, self.said()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something that it does has happened."""
        deadline = time.monotonic() + PROCESS_LIMIT_S
        while not is_so():
            assert self.process.exitcode is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def said(self) -> str:
        """Return all that it has written."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def forked_command(log: Path, *arguments: object) -> Iterator[ForkedCommand]:
    """Start `echo-stream` with the arguments; it ends with the block at the latest."""
    process = _FORKS.Process(target=_run, args=(log, [*map(str, arguments)]))
    process.start()
    command = ForkedCommand(process, log)
    try:
        yield command
    finally:
        command.kill()


def _run(log: Path, arguments: list[str]) -> None:
    """Be the command."""
    import torch  # noqa: PLC0415 - here already

    from echo_stream.cli.main import main  # noqa: PLC0415

    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    torch.set_num_threads(1)
    sys.argv = ["echo-stream", *arguments]
    main()
