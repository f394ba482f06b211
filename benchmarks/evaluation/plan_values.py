"""Values of a plan are of the kinds that its dataclasses say, and told where they are not."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from echo_stream.errors import ConfigError

T = TypeVar("T")
WORDS: dict[object, str] = {
    tuple: "a list", str: "text", dict: "a table", bool: "true or false", float: "a number",
    int: "a whole number",
}  # fmt: skip


def build(kind: type[T], values: Mapping[str, Any], what: str) -> T:
    """Return a dataclass of values; refuse names that it does not have, or lacks.

    Raises
    ------
    ConfigError
        Of these, and of values of another kind: text where there should be a list, say.
    """
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]  # all are dataclasses
    if unknown := sorted(set(values) - known):
        msg = f"{what} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}"
        raise ConfigError(msg)
    hints = get_type_hints(kind)
    for name, value in values.items():
        _check(f"{what}: {name}", value, hints[name])
    try:
        return kind(**values)
    except TypeError as err:  # says which are missing
        msg = f"{what}: {str(err).partition(') ')[2]}"
        raise ConfigError(msg) from err


def listed(values: Mapping[str, Any], name: str, what: str) -> list[Any]:
    """Return a list of values, empty where there is none."""
    found = values.get(name, [])
    if not isinstance(found, list):
        msg = f"{what}: {name} must be a list; got {found!r}"
        raise ConfigError(msg)
    return found


def _check(name: str, value: object, hint: object) -> None:
    """Raise a ConfigError unless a value is what a hint says; some hints ask nothing."""
    origin = get_origin(hint) or hint
    if origin is Literal:
        if value not in get_args(hint):
            msg = f"{name} must be one of {', '.join(get_args(hint))}; got {value!r}"
            raise ConfigError(msg)
        return
    if origin in WORDS:
        accepted = (int, float) if origin is float else origin
        is_truth = isinstance(value, bool) and origin is not bool  # which is an int, to Python
        if is_truth or not isinstance(value, accepted):  # type: ignore[arg-type]  # a class, of those in WORDS
            msg = f"{name} must be {WORDS[origin]}; got {value!r}"
            raise ConfigError(msg)
    if origin is tuple:
        for entry in value:  # type: ignore[attr-defined]  # it is one, by now
            _check(f"{name}, each of them,", entry, get_args(hint)[0])
