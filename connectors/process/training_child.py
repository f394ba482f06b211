"""The command line in a process that ends with its parent, however that ends.

`python -m echo_stream.connectors.process.training_child ARGUMENTS` does what
`echo-stream ARGUMENTS` does. The parent holds the other end of a pipe that is its standard
input, and the system closes it when the parent is gone.
"""

import os
import runpy
import threading

_NICENESS = 10  # ingestion goes first wherever both want a core
_PARENT_GONE_EXIT = 143  # as if ended by SIGTERM; whatever was under way goes on from its state


def _end_with_parent() -> None:
    """Wait until the pipe is closed, and end the process."""
    # Not through sys.stdin, which an interpreter that ends could not have back from here.
    os.read(0, 1)
    os._exit(_PARENT_GONE_EXIT)


if __name__ == "__main__":
    os.nice(_NICENESS)
    threading.Thread(target=_end_with_parent, name="echo-stream-parent", daemon=True).start()
    runpy.run_module("echo_stream", run_name="__main__", alter_sys=True)
