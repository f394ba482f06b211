"""Secrets, which come from the environment or from a file, never from the command line."""

import logging
import os
from pathlib import Path

from echo_stream.connectors.storage.durable import open_to
from echo_stream.errors import ConfigError, SettingName

logger = logging.getLogger(__name__)

SECRETS = {
    name: f"ECHO_STREAM_{name.upper()}"
    for name in ("http_token", "sasl_password", "ssl_key_password")
}
"""The variable of each secret."""


def secret(name: str, path: Path | None) -> str | None:
    """Return a secret from its file or its variable, the only places where one may be."""
    variable = SECRETS[name]
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
