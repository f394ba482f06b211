"""Import a user's own code by the name `module:attribute`."""

import importlib
from typing import Any

from echo_stream.errors import ConfigError, SettingName, first_line


def import_attribute(spec: str, what: str, choices: str) -> Any:
    """Return what `module:attribute` names.

    Parameters
    ----------
    spec : str
    what : str
        The setting that spec comes from: "model".
    choices : str
        What else spec may be, in messages: "lenet or module:factory".

    Raises
    ------
    ConfigError
        If spec is no such name, the module cannot be imported, or has no such attribute.

    Examples
    --------
    >>> import_attribute("math:hypot", "distance", "module:function")(3, 4)
    5.0
    """
    module_name, _, attribute = spec.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise ConfigError(SettingName(what), f" must be {choices}; got {spec!r}")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except AttributeError as err:
        words = f" {spec!r}: {module_name} has no {attribute}"
        raise ConfigError(SettingName(what), words) from err
    except Exception as err:  # the user's module may raise anything while it is imported
        words = f" {spec!r}: importing {module_name} failed: {said(err)}"
        raise ConfigError(SettingName(what), words) from err


def said(err: Exception) -> str:
    """Return an exception in one line."""
    return f"{type(err).__name__}: {first_line(err)}"
