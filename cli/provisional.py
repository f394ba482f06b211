"""A word of warning before a snapshot of a warm-up is used."""

from pathlib import Path

from echo_stream.cli.output import say


def warn_provisional(unit: Path) -> None:
    """Say so where a snapshot is provisional."""
    from echo_stream.connectors.snapshots import (  # noqa: PLC0415
        provisional_words,
        snapshot_manifest,
    )

    words = provisional_words(snapshot_manifest(unit))
    if words is not None:
        say(words)
