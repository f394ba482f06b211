"""Text that came from outside, as it may be shown: nothing in it steers a terminal."""

import json
import re

_UNUSUAL = re.compile(r"[^ -~\n]")
_LINE_END = "\n"


def printable(text: str, *, keeps_lines: bool = False) -> str:
    r"""Return a text with whatever Python's `repr` would escape, escaped likewise.

    That is control characters (C0 and C1), formats such as those of direction, and separators
    but the blank. Anything else stays, in whatever script.

    Parameters
    ----------
    text : str
    keeps_lines : bool
        Whether ends of lines stay too, as in a traceback.

    Examples
    --------
    >>> print(printable("a\x1b[2J\nb"))
    a\x1b[2J\nb
    """
    return "".join(
        one if one.isprintable() or (keeps_lines and one == _LINE_END) else _escaped(one)
        for one in text
    )


def printable_json(content: str) -> str:
    r"""Return JSON that means the same, with such characters escaped as JSON has it.

    Examples
    --------
    >>> print(printable_json('{"id": "a\x9b2J"}'))
    {"id": "a\u009b2J"}
    """
    return _UNUSUAL.sub(_json_escaped, content)


def _escaped(character: str) -> str:
    """Return how `repr` would show a character."""
    return character.encode("unicode_escape").decode()


def _json_escaped(found: re.Match[str]) -> str:
    """Return a character as it may stand in a string of JSON."""
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
