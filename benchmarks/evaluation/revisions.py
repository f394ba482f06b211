"""How often what a selector chooses has changed: results of an older revision count no more."""

from collections.abc import Collection, Mapping

CODEBOOK = 2  # of cells, and so of all that is chosen in them
REVISIONS = {
    "echo": CODEBOOK, "echo-quotas": CODEBOOK,
    "gdumb": 1, "kmeans-nearest": 1, "clustream-nearest": 1, "sieve-streaming++": 1,
}  # fmt: skip
"""Raise one with what its selector chooses."""


def revisions_of(names: Collection[str]) -> dict[str, int]:
    """Return the revisions of those selectors that have been revised.

    Examples
    --------
    >>> sorted(revisions_of({"random", "gdumb"}))
    ['gdumb']
    """
    return {name: REVISIONS[name] for name in names if name in REVISIONS}


def revised(revisions: Mapping[str, int]) -> list[str]:
    """Return the line of a section that says what revisions it is of; nothing without any."""
    named = ", ".join(f"{name} {number}" for name, number in sorted(revisions.items()))
    return [f"- revisions of selectors: {named}\n"] if named else []
