"""The command group, and the one place where errors become exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 source, broker, disk or device
unavailable, 4 state incompatible or in use, 5 too many bad messages.
"""

import os
import sys

import click

from echo_stream._common.version import __version__
from echo_stream.cli.command import Group, config_option
from echo_stream.cli.commands import (
    build,
    config,
    demo,
    dlq,
    doctor,
    forget,
    label,
    produce,
    query,
    run,
    serve,
    snapshots,
    status,
    train,
    why,
)
from echo_stream.cli.output.logs import use_logs
from echo_stream.cli.output.output import complain, leave
from echo_stream.connectors.process.malloc import keep_freed_memory
from echo_stream.errors import (
    BadMessagesError,
    ConfigError,
    EchoStreamError,
    InfrastructureError,
    SourceError,
    StateError,
)

EXIT_CODES: tuple[tuple[type[EchoStreamError], int], ...] = (
    (ConfigError, 2),
    (SourceError, 3),
    (InfrastructureError, 3),
    (StateError, 4),
    (BadMessagesError, 5),
    (EchoStreamError, 1),
)
_INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
WAITING = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}  # what tells torch's threads how to wait
_SPINS = "2000"  # some 50 microseconds


@click.group(
    cls=Group,
    params=[config_option],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="echo-stream")
@click.option("-v", "--verbose", is_flag=True, help="Log details to stderr.")
def cli(*, verbose: bool) -> None:
    """Keep a small representative training set of an endless stream: a coreset.

    \b
    Example:
      echo-stream demo
    """
    use_logs(None, is_verbose=verbose)


for command in (
    build.build,
    config.config,
    demo.demo,
    dlq.dlq,
    doctor.doctor,
    forget.forget,
    label.label,
    produce.produce,
    query.query,
    run.run,
    serve.serve,
    snapshots.snapshots,
    status.status,
    train.train,
    why.why,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line, and end the process with its exit code.

    The interpreter would wait for a snapshot that a run has given up, as long as it takes.
    Torch's threads spin for a moment while they wait for each other, and then sleep, unless the
    environment says how. By itself OpenMP lets them spin for milliseconds, and beside services on
    the same cores that takes many times as long where samples are small; to sleep at once takes
    longer alone. `benchmarks.speed.neighbours` measures it.
    """
    keep_freed_memory()
    if not WAITING & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _SPINS  # read once, when torch is imported
    code = _exit_code()
    from echo_stream.connectors.process.writers import is_writing

    if is_writing():
        leave(code)
    sys.exit(code)


def _exit_code() -> int:
    """Run the command line; what we raise on purpose ends in one line and an exit code."""
    try:
        return cli.main(standalone_mode=False) or 0
    except click.exceptions.Exit as err:
        return err.exit_code
    except click.Abort:
        return _INTERRUPTED
    except click.ClickException as err:
        complain(err)
        return err.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone, as with `| head`; there is nobody left to tell.
        sys.stderr.close()
        return 1
    except (EchoStreamError, OSError, UnicodeEncodeError, MemoryError, RuntimeError) as err:
        # A name that is too long, a disk that fails: nothing of ours, but no traceback either.
        is_told = isinstance(err, EchoStreamError | OSError | UnicodeEncodeError)
        known = err if is_told else _out_of_memory(err)
        complain(known)
        return next((code for kind, code in EXIT_CODES if isinstance(known, kind)), 1)


def _out_of_memory(err: Exception) -> InfrastructureError:
    """Return the error for memory or a device that does not suffice; others go on."""
    from echo_stream._common.device import is_infrastructure
    from echo_stream.errors import first_line

    if not is_infrastructure(err):
        raise err
    return InfrastructureError(
        f"out of memory, or the device failed ({first_line(err)}); lower --budget or use "
        "smaller samples"
    )
