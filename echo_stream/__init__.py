"""Keep a small, representative training set of an endless stream.

The public names are imported on first use: importing torch takes over a second, and
`echo-stream --help` must not.
"""

import importlib
from typing import TYPE_CHECKING

from echo_stream._common.version import __version__

if TYPE_CHECKING:
    from echo_stream.config import EngineConfig
    from echo_stream.coreset.snapshot import Snapshot
    from echo_stream.encoders.loading import load_encoder
    from echo_stream.engine.echo_coreset import EchoCoreset
    from echo_stream.errors import EchoStreamError
    from echo_stream.generation.generation import Generation
    from echo_stream.samples.source import ArraySource
    from echo_stream.training.classifier import EchoClassifier
    from echo_stream.training.spreading import Spread, spread_labels
    from echo_stream.training.suggesting import Suggestions, suggest_labels

_MODULES = {
    "ArraySource": "echo_stream.samples.source",
    "EchoClassifier": "echo_stream.training.classifier",
    "EchoCoreset": "echo_stream.engine.echo_coreset",
    "EchoStreamError": "echo_stream.errors",
    "EngineConfig": "echo_stream.config",
    "Generation": "echo_stream.generation.generation",
    "Snapshot": "echo_stream.coreset.snapshot",
    "load_encoder": "echo_stream.encoders.loading",
    "Spread": "echo_stream.training.spreading",
    "spread_labels": "echo_stream.training.spreading",
    "Suggestions": "echo_stream.training.suggesting",
    "suggest_labels": "echo_stream.training.suggesting",
}

__all__ = [
    "ArraySource",
    "EchoClassifier",
    "EchoCoreset",
    "EchoStreamError",
    "EngineConfig",
    "Generation",
    "Snapshot",
    "Spread",
    "Suggestions",
    "__version__",
    "load_encoder",
    "spread_labels",
    "suggest_labels",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _MODULES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
