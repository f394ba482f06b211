"""Files of secrets: who may read them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from echo_stream.connectors.inspect.doctor.finding import Finding
from echo_stream.connectors.storage.private import open_to


def check_secret_files(paths: Iterable[Path]) -> Iterator[Finding]:
    """Look who may read or write files that hold secrets; nothing where there are none."""
    found, is_missing, files = [], False, list(paths)
    for path in files:
        try:
            who = open_to(path)
        except OSError as err:
            found.append(f"{path} cannot be read: {err.strerror}")
            is_missing = True
        else:
            found += [] if who is None else [f"{path} {who}"]
    if found:
        advice = "write it, and chmod 600" if is_missing else "chmod 600, and change what was read"
        yield Finding("secrets", "fail" if is_missing else "warn", "; ".join(found), advice)
    elif files:
        yield Finding("secrets", "ok", f"{len(files)} files are for us alone")
