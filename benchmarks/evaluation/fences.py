"""Sections of a report, between comments in its Markdown that name a plan and a group."""

import re
from pathlib import Path

from echo_stream.errors import ConfigError

BEGIN, END = "group", "end of"
FENCE = re.compile(rf"^<!-- ({BEGIN}|{END}) (.+) -->\n", re.MULTILINE)


def fenced(name: str, text: str) -> str:
    r"""Return a section with the comments that `read_sections` finds it by.

    Examples
    --------
    >>> fenced("quick/quick-text", "### Sentences\n")
    '<!-- group quick/quick-text -->\n\n### Sentences\n\n<!-- end of quick/quick-text -->\n'
    """
    return f"<!-- {BEGIN} {name} -->\n\n{text}\n<!-- {END} {name} -->\n"


def read_sections(path: Path) -> dict[str, str]:
    """Return the sections of a report by name; none of a file that is empty, or not there.

    Raises
    ------
    ConfigError
        If the file is something else, or its comments do not pair up: what stands between
        them may exist nowhere else.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if not text.strip():
        return {}
    _, *parts = FENCE.split(text)
    words, names, texts = parts[::3], parts[1::3], parts[2::3]
    once = list(dict.fromkeys(names))
    if not once or list(zip(words, names, strict=True)) != _pairs(once):
        msg = (
            f"{path} is no report that can be continued: that has each section once, between "
            f"`<!-- {BEGIN} PLAN/GROUP -->` and `<!-- {END} PLAN/GROUP -->`; give another --out"
        )
        raise ConfigError(msg)
    return {name: section[1:-1] for name, section in zip(once, texts[::2], strict=True)}


def _pairs(names: list[str]) -> list[tuple[str, str]]:
    """Return the comments that sections of some names have."""
    return [(word, name) for name in names for word in (BEGIN, END)]
