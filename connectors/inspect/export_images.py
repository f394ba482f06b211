"""Snapshots as folders of images, one sub-folder a class."""

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from echo_stream._common.typing import Label
from echo_stream.connectors.inspect.images import as_png
from echo_stream.connectors.storage.targets import new_folder
from echo_stream.coreset.snapshot import Snapshot

UNKNOWN = "_unknown"  # folder of images without a label; no label's own, whose _ is escaped
MAX_NAME_CHARACTERS = 100  # of an escaped label or id; longer ones end in a digest
_COLUMNS = ("file_name", "id", "role", "weight", "certified", "label")


def export_images(
    snapshot: Snapshot, target: Path, *, image_shape: Sequence[int] | None = None
) -> Path:
    """Write each sample of a snapshot as target/CLASS/POSITION-ID.png.

    Parameters
    ----------
    snapshot : Snapshot
    target : Path
        A folder that does not exist.
    image_shape : sequence of int, optional
        Where samples are vectors; see `as_png`.

    Raises
    ------
    ConfigError
        If target exists or cannot be written, or the shape is wrong.
    DataError
        If the samples are no images.

    Notes
    -----
    No label or id leads out of target: what is no plain letter, digit, - or . is escaped
    as in an address (%2F), as are . and _ at the beginning. metadata.csv has them as they are,
    with role and weight; a sample that is core and support is one image and two lines.
    """
    samples, rows = snapshot.rows.samples, snapshot.rows
    labels = [None] * len(rows) if samples.labels is None else samples.labels.tolist()
    written: dict[tuple[str, bytes], str] = {}
    with (
        new_folder(target) as folder,
        (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file,
    ):
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(_COLUMNS)
        for place, (name, label) in enumerate(zip(samples.ids.tolist(), labels, strict=True)):
            content = as_png(samples.x[place], image_shape)
            key = (str(name), _digest(content))
            if key not in written:
                written[key] = f"{_class(label)}/{place:06d}-{_safe(str(name))}.png"
                path = folder / written[key]
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            proof = rows.certified[place]
            more = [rows.roles[place], rows.weights[place], proof, label]
            lines.writerow([written[key], name, *more])
    return target


def _class(label: Label) -> str:
    """Return the name of the folder of a class."""
    return UNKNOWN if label is None else _safe(str(label)) or "%"


def _safe(name: str) -> str:
    """Return text as a file name: no separator, nothing hidden, of bounded length.

    Examples
    --------
    >>> _safe("cat"), _safe("../a b"), _safe("_x")
    ('cat', '%2E.%2Fa%20b', '%5Fx')
    """
    escaped = quote(name, safe="").replace("~", "%7E")
    if escaped[:1] in (".", "_"):
        escaped = f"%{ord(escaped[0]):02X}{escaped[1:]}"
    if len(escaped) <= MAX_NAME_CHARACTERS:
        return escaped
    # Two long names of the same beginning must stay two.
    return f"{escaped[:MAX_NAME_CHARACTERS]}-{_digest(name.encode()).hex()}"


def _digest(content: bytes) -> bytes:
    """Return 64 bits that tell contents apart."""
    return hashlib.blake2b(content, digest_size=8).digest()
