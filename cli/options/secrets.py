"""Secrets, which come from the environment or from a file, never from the command line."""

import logging
import os
from pathlib import Path

from echo_stream.connectors.storage.durable import open_to

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
    from echo_stream.errors import ConfigError  # noqa: PLC0415

    if given is not None:
        msg = f"give either {variable} or {name}_file, not both"
        raise ConfigError(msg)
    try:
        found = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is no UTF-8 text"
        msg = f"{name}_file {path} cannot be read: {reason}"
        raise ConfigError(msg) from None  # a decoding error holds what it could not decode
    if not found:
        msg = f"{name}_file {path} is empty; write the password into it"
        raise ConfigError(msg)
    warn_if_open(path)
    return found


def warn_if_open(path: Path) -> None:
    """Log a warning where others can read or write the file of a secret."""
    found = open_to(path)
    if found is not None:
        logger.warning("%s %s, and holds a secret; chmod 600 %s", path, found, path)
