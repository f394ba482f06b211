"""Which sketches can be merged."""

from typing import TYPE_CHECKING

from echo_stream.errors import ConfigError

if TYPE_CHECKING:
    from echo_stream.sketch import Sketch

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
    different = {
        name: values
        for name, values in a.config.differences(b.config).items()
        if name in SKETCH_SETTINGS
    }
    if different:
        listed = ", ".join(f"{k}: {x!r} and {y!r}" for k, (x, y) in different.items())
        msg = f"cannot merge sketches of different configurations ({listed})"
        raise ConfigError(msg)
