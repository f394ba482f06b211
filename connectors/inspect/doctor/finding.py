"""What one check has found."""

from typing import Literal, NamedTuple, TypeAlias

Verdict: TypeAlias = Literal["ok", "warn", "fail"]
"""Well; a run would work, but worse than it could; a run would not work."""


class Finding(NamedTuple):
    """What one check has found.

    Attributes
    ----------
    check : str
        What was looked at.
    verdict : Verdict
    found : str
        What is there.
    advice : str
        What to do; empty where all is well.
    """

    check: str
    verdict: Verdict
    found: str
    advice: str = ""
