"""Checks of settings: each refuses a value, and names the setting and what was given."""

import math
import operator
from typing import TypedDict, Unpack

from echo_stream.errors import ConfigError, SettingName


class _Bounds(TypedDict, total=False):
    """Limits of a number; infinity and NaN are never within."""

    at_least: float
    above: float
    at_most: float
    below: float


_HOLDS = {
    "at_least": operator.ge, "above": operator.gt, "at_most": operator.le, "below": operator.lt,
}  # fmt: skip


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not one of the choices.

    Raises
    ------
    ConfigError
    """
    if value not in choices:
        raise ConfigError(SettingName(name), f" must be one of {', '.join(choices)}; got {value!r}")


def check_bool(name: str, value: object) -> None:
    """Refuse a value that is not a boolean; a word such as "no" would count as true.

    Raises
    ------
    ConfigError
    """
    if not isinstance(value, bool):
        raise ConfigError(SettingName(name), f" must be True or False; got {value!r}")


def check_whole(name: str, value: object, **bounds: Unpack[_Bounds]) -> None:
    """Refuse a value that is not an integer, or out of bounds.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> check_whole("epochs", 0, at_least=1)
    Traceback (most recent call last):
    ...
    echo_stream.errors.ConfigError: epochs must be at least 1; got 0
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(SettingName(name), f" must be an integer; got {value!r}")
    _check_bounds(name, value, bounds)


def check_number(name: str, value: object, **bounds: Unpack[_Bounds]) -> None:
    """Refuse a value that is not a finite number, or out of bounds.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> check_number("share", 2.0, above=0, at_most=1)
    Traceback (most recent call last):
    ...
    echo_stream.errors.ConfigError: share must be above 0 and at most 1; got 2.0
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(SettingName(name), f" must be a number; got {value!r}")
    if math.isinf(value):
        raise ConfigError(SettingName(name), f" must be finite; got {value}")
    _check_bounds(name, value, bounds)


def _check_bounds(name: str, value: float, bounds: _Bounds) -> None:
    """Refuse a number that is out of bounds."""
    limits = {kind: limit for kind, limit in bounds.items() if isinstance(limit, int | float)}
    if not all(_HOLDS[kind](value, limit) for kind, limit in limits.items()):
        words = " and ".join(f"{kind.replace('_', ' ')} {limit}" for kind, limit in limits.items())
        raise ConfigError(SettingName(name), f" must be {words}; got {value}")
