"""Segments: what the members of a group have counted, each its own ranges of offsets.

A segment is a folder `segments/<id>/` of one writer, and each version of it a unit: a sketch
and the ranges that it covers. Segments that no claim names any more never change;
several of them can be merged into one, which names those that it replaces.
"""

import logging
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echo_stream.config import EngineConfig
from echo_stream.connectors.group.offset_ranges import Range, Ranges
from echo_stream.connectors.process.clock import timestamp
from echo_stream.connectors.storage.engine_files import read_engine, write_checkpoint
from echo_stream.connectors.storage.units import (
    list_units,
    read_manifest,
    remove_leftovers,
    verify_unit,
)
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import FencedError, StateError
from echo_stream.generation.generation import check_format
from echo_stream.samples.source import Skipped

logger = logging.getLogger(__name__)

_FORMAT_VERSION = 1
_KEPT_VERSIONS = 2  # a damaged one falls back on the one before it
_SEQUENCE_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Segment:
    """The newest undamaged version of a segment.

    Attributes
    ----------
    id : str
    unit : Path
    n : int
        Samples counted into it.
    covers : mapping of str to list of (int, int)
        The offsets that have been counted into it, by "topic/partition".
    replaces : tuple of str
        Segments that have been merged into it.
    skipped : Skipped
        What was skipped within the ranges.
    time : str
        When the version was written.
    """

    id: str
    unit: Path
    n: int
    covers: Mapping[str, list[Range]]
    replaces: tuple[str, ...]
    skipped: Skipped
    time: str

    @classmethod
    def read(cls, unit: Path, *, is_quick: bool = False) -> "Segment":
        """Return a version whose files are undamaged; quickly, only its manifest is checked.

        Raises
        ------
        StateError
            If it is damaged.
        """
        manifest = read_manifest(unit) if is_quick else verify_unit(unit)
        name = unit.parent.name
        check_format(manifest, _FORMAT_VERSION, f"segment {name}")
        covers = {
            partition: [(begin, end) for begin, end in ranges]
            for partition, ranges in manifest["covers"].items()
        }
        skipped = Skipped(*(manifest.get(name, 0) for name in Skipped._fields))
        replaces = tuple(manifest["replaces"])
        return cls(name, unit, manifest["n"], covers, replaces, skipped, manifest["time"])

    def load(self, config: EngineConfig, *, device: str) -> EchoCoreset:
        """Return the engine that has counted the ranges.

        Raises
        ------
        StateError
            If the version is not there any more, or damaged.
        """
        return read_engine(self.unit, read_manifest(self.unit), config, device=device)


class SegmentFolder:
    """The segments of a state.

    Parameters
    ----------
    folder : Path
        The state's `segments`.
    is_quick : bool
        Check manifests only, not all files.
    """

    def __init__(self, folder: Path, *, is_quick: bool = False) -> None:
        self._folder = folder
        self._is_quick = is_quick
        self._known: dict[Path, Segment] = {}

    def read(self) -> list[Segment]:
        """Return the valid segments, in order of id. Only under the lock.

        Those that another one replaces are left out, damaged or not: the process that was
        removing them may have died. Each file's checksum is checked once.

        Raises
        ------
        StateError
            If all versions of a segment are damaged.
        """
        names = sorted(path.name for path in self._folder.glob("*") if path.is_dir())
        found = {name: self._newest(name) for name in names if _versions(self._folder / name)}
        whole = [segment for segment in found.values() if segment is not None]
        self._known = {segment.unit: segment for segment in whole}
        replaced = {name for segment in whole for name in segment.replaces}
        for name in sorted(found.keys() - replaced):
            if found[name] is None:
                number = len(_versions(self._folder / name))
                msg = f"all {number} versions of segment {name} are damaged; use another state"
                raise StateError(msg)
        return [segment for segment in whole if segment.id not in replaced]

    def write(
        self,
        name: str,
        engine: EchoCoreset,
        covers: Ranges,
        about: Mapping[str, Any],
        *,
        skipped: Skipped,
        replaces: Iterable[str] = (),
        publishing: AbstractContextManager[None] | None = None,
    ) -> int:
        """Write the next version of a segment; return its size in bytes. Only for its writer.

        Parameters
        ----------
        name : str
        engine : EchoCoreset
            Has counted exactly what the segment covers.
        covers : mapping
            Ranges of each "topic/partition".
        about : mapping
            Further entries of the manifest: who wrote it, and the source.
        skipped : Skipped
            Within the ranges.
        replaces : iterable of str
            Segments that have been merged into this one.
        publishing : context manager, optional
            Entered while the version takes its place; see `write_unit`.

        Raises
        ------
        FencedError
            If another process has taken over, and merged the version into another segment,
            right after it was published.
        """
        folder = self._folder / name
        before = _versions(folder)
        sequence = int(before[-1].name) + 1 if before else 1
        manifest = {
            "format_version": _FORMAT_VERSION,
            "segment": name,
            "sequence": sequence,
            "time": timestamp(),
            "n": engine.n_seen_,
            "covers": {partition: list(map(list, each)) for partition, each in covers.items()},
            "replaces": sorted(replaces),
            **skipped._asdict(),
            **about,
        }
        destination = folder / f"{sequence:0{_SEQUENCE_DIGITS}d}"
        write_checkpoint(engine, manifest, destination, publishing=publishing)
        try:
            for unit in _versions(folder)[:-_KEPT_VERSIONS]:
                shutil.rmtree(unit)
            return sum(path.stat().st_size for path in destination.iterdir())
        except FileNotFoundError as err:
            msg = f"{destination} was merged into another segment right after it was written"
            raise FencedError(msg) from err

    def tidy(self, live: Collection[str]) -> None:
        """Remove segments that were replaced, and unfinished files of writers that died.

        Only under the lock.

        Parameters
        ----------
        live : collection of str
            Segments that a process may be writing a version of.
        """
        kept = {segment.id for segment in self.read()}
        for folder in sorted(self._folder.glob("*")):
            if folder.name in kept - set(live):
                remove_leftovers(folder)
            elif folder.name not in live:
                shutil.rmtree(folder)

    def _newest(self, name: str) -> Segment | None:
        """Return the newest undamaged version of a segment; None if there is none."""
        versions = _versions(self._folder / name)
        for unit in reversed(versions):
            try:
                if unit not in self._known:
                    self._known[unit] = Segment.read(unit, is_quick=self._is_quick)
                return self._known[unit]
            except StateError as err:
                logger.warning("version of a segment skipped: %s", err)
        return None


def versions(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return name and manifest of every version of every segment in a state's `segments`."""
    units = [unit for segment in sorted(folder.glob("*")) for unit in _versions(segment)]
    return [(f"{unit.parent.name}/{unit.name}", read_manifest(unit)) for unit in units]


def _versions(folder: Path) -> list[Path]:
    """Return the versions of a segment, oldest first."""
    return [unit for unit in list_units(folder) if unit.name.isdecimal() and unit.name.isascii()]
