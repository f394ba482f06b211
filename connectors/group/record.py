"""What all members of a group agree on: its name, settings, source, start and generation."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from echo_stream.config import EngineConfig
from echo_stream.connectors.process.retrying import is_transient
from echo_stream.connectors.storage.durable import flush
from echo_stream.connectors.storage.state_store import GROUP_MANIFEST
from echo_stream.connectors.storage.units import TEMPORARY_PREFIX, read_manifest, write_manifest
from echo_stream.errors import InfrastructureError, StateError
from echo_stream.generation.generation import check_format

_FORMAT_VERSION = 5


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """The group of a state. Written by its first member.

    Attributes
    ----------
    group : str
    config : EngineConfig
    source : mapping
        What identifies the source.
    start : mapping of str to int
        The first offset of each "topic/partition" that is counted.
    generation : str or None
        Id of the generation that all segments are of; None until there is one.
    """

    group: str
    config: EngineConfig
    source: Mapping[str, Any]
    start: Mapping[str, int]
    generation: str | None

    @classmethod
    def read(cls, state: Path) -> "GroupRecord | None":
        """Return the group of a state; None where there is none.

        Raises
        ------
        StateError
            If it is damaged, or of another format version.
        """
        if not (state / GROUP_MANIFEST).exists():
            return None
        manifest = read_manifest(state, manifest_name=GROUP_MANIFEST)
        check_format(manifest, _FORMAT_VERSION, f"group of {state}")
        return cls(
            manifest["group"],
            EngineConfig.from_json(manifest["config"]),
            manifest["source"],
            manifest["start"],
            manifest["generation"],
        )

    def write(self, state: Path) -> None:
        """Write the record, whole and durably. Only under the group's lock.

        Raises
        ------
        InfrastructureError
            If the disk is full.
        StateError
            If it cannot be written for another reason.
        """
        manifest = {
            "format_version": _FORMAT_VERSION,
            "group": self.group,
            "config": self.config.to_json(),
            "source": dict(self.source),
            "start": dict(self.start),
            "generation": self.generation,
        }
        temporary = state / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
        try:
            write_manifest(temporary, manifest, [])
            flush(temporary)
            temporary.rename(state / GROUP_MANIFEST)
            flush(state)
        except OSError as err:
            msg = f"cannot write {state / GROUP_MANIFEST}: {err.strerror}"
            raise (InfrastructureError if is_transient(err) else StateError)(msg) from err
        finally:
            temporary.unlink(missing_ok=True)

    def starting_at(self, more: Mapping[str, int]) -> "GroupRecord":
        """Return the record with the starts of partitions that have none yet."""
        return replace(self, start={**more, **self.start})
