"""What the environment holds beside options: secrets, and variables that mean nothing.

A secret comes from its variable or from a file, never from the command line. A misspelt
variable is refused: it would be ignored without a word, and make another coreset.
"""

import logging
import os
import re
from pathlib import Path

import click

from echo_stream.cli.options.settings import all_below
from echo_stream.connectors.storage.durable import open_to
from echo_stream.errors import ConfigError, SettingName

logger = logging.getLogger(__name__)

_SECRETS = {
    name: f"ECHO_STREAM_{name.upper()}"
    for name in ("http_token", "sasl_password", "ssl_key_password")
}
"""The variable of each secret."""


def secret(name: str, path: Path | None) -> str | None:
    """Return a secret from its file or its variable, the only places where one may be."""
    variable = _SECRETS[name]
    given = os.environ.get(variable) or None
    if path is None:
        return given
    option = SettingName(f"{name}_file")
    if given is not None:
        msg = f"give either {variable} or "
        raise ConfigError(msg, option, ", not both")
    try:
        found = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
        # A decoding error holds what it could not decode.
        raise ConfigError(option, f" {path} cannot be read: {reason}") from None
    if not found:
        raise ConfigError(option, f" {path} is empty; write the password into it")
    warn_if_open(path)
    return found


def warn_if_open(path: Path) -> None:
    """Log a warning where others can read or write the file of a secret."""
    found = open_to(path)
    if found is not None:
        logger.warning("%s %s, and holds a secret; chmod 600 %s", path, found, path)


_PREFIX = "ECHO_STREAM_"
# What Kubernetes sets for a service named echo-stream, and we for the commands of hooks.
_OTHERS = re.compile(r"(PORT|SERVICE|HOOK)(_.*)?")
_SURE = 0.8  # likeness (difflib's) from which on a variable can only be a misspelt one


def check_variables(root: click.Command) -> None:
    """Warn of variables that mean nothing to any command, and refuse a misspelt one.

    Raises
    ------
    ConfigError
    """
    params = [param for command in all_below(root) for param in command.params]
    known = {*(str(param.envvar) for param in params if param.envvar), *_SECRETS.values()}
    for name in sorted(os.environ):
        bare = name.removeprefix(_PREFIX)
        if bare == name or name in known or _OTHERS.fullmatch(bare):
            continue
        import difflib

        names = sorted(one.removeprefix(_PREFIX) for one in known)
        close = difflib.get_close_matches(bare, names, n=1)
        listed = "`echo-stream config show` lists all settings"
        hint = f"did you mean {_PREFIX}{close[0]}?" if close else listed
        msg = f"{name} in the environment is not a setting; {hint}"
        if difflib.get_close_matches(bare, names, n=1, cutoff=_SURE):
            raise ConfigError(msg)
        logger.warning("%s", msg)
