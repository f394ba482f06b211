"""Variables of the environment that begin as ours do: one that means nothing is no secret.

A misspelt setting would be ignored without a word, and make another coreset.
"""

import logging
import os
import re
from collections.abc import Iterator

import click

from echo_stream.cli.options.secrets import SECRETS
from echo_stream.errors import ConfigError

logger = logging.getLogger(__name__)

PREFIX = "ECHO_STREAM_"
# What Kubernetes sets for a service named echo-stream, and we for the commands of hooks.
_OTHERS = re.compile(r"(PORT|SERVICE|HOOK)(_.*)?")
SURE = 0.8  # likeness (difflib's) from which on a variable can only be a misspelt one


def check_variables(root: click.Command) -> None:
    """Warn of variables that mean nothing to any command, and refuse a misspelt one.

    Raises
    ------
    ConfigError
    """
    known = {*_variables(root), *SECRETS.values()}
    for name in sorted(os.environ):
        bare = name.removeprefix(PREFIX)
        if bare == name or name in known or _OTHERS.fullmatch(bare):
            continue
        import difflib  # noqa: PLC0415 - needed only to help

        names = sorted(one.removeprefix(PREFIX) for one in known)
        close = difflib.get_close_matches(bare, names, n=1)
        listed = "`echo-stream config show` lists all settings"
        hint = f"did you mean {PREFIX}{close[0]}?" if close else listed
        msg = f"{name} in the environment means nothing; {hint}"
        if difflib.get_close_matches(bare, names, n=1, cutoff=SURE):
            raise ConfigError(msg)
        logger.warning("%s", msg)


def _variables(command: click.Command) -> Iterator[str]:
    """Yield the variables that a command, or one below it, takes options from."""
    yield from (str(each.envvar) for each in command.params if each.envvar)
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _variables(child)
