"""Which settings a sketch was made with: others can neither merge with it nor go on with it."""

from typing import TYPE_CHECKING

from echo_stream.config import EngineConfig
from echo_stream.errors import ConfigError

if TYPE_CHECKING:
    from echo_stream.sketch.sketch import Sketch

# The rest shapes the generation only.
SKETCH_SETTINGS = (
    "budget", "preset", "rank", "support", "support_share", "balance", "on_duplicate", "seed"
)  # fmt: skip


def check_mergeable(a: "Sketch", b: "Sketch") -> None:
    """Refuse sketches of different generations or configurations.

    Raises
    ------
    ConfigError
        Naming what differs.
    """
    if a.generation.id != b.generation.id:
        msg = (
            f"cannot merge sketches of generations {a.generation.id} and "
            f"{b.generation.id}; give both engines the same generation"
        )
        raise ConfigError(msg)
    different = _different(a.config, b.config)
    if different:
        msg = f"cannot merge sketches of different configurations ({different})"
        raise ConfigError(msg)


def check_restorable(stored: EngineConfig, given: EngineConfig) -> None:
    """Refuse to go on with other settings than those that a sketch was made with.

    A larger budget would need samples that its pools have dropped.

    Raises
    ------
    ConfigError
        Naming what differs.
    """
    different = _different(stored, given)
    if different:
        msg = (
            f"the stored engine cannot go on with other settings (stored and given: {different}); "
            "give the stored ones, or count the data again with a new engine"
        )
        raise ConfigError(msg)


def _different(a: EngineConfig, b: EngineConfig) -> str:
    """Return the settings of a sketch in which two configurations differ, with both values."""
    return ", ".join(
        f"{name}: {x!r} and {y!r}"
        for name, (x, y) in a.differences(b).items()
        if name in SKETCH_SETTINGS
    )
