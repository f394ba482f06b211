"""Load an encoder by its name."""

from echo_stream._common.importing import import_attribute
from echo_stream.encoders.encoder import Encoder, FunctionEncoder
from echo_stream.errors import ConfigError, SettingName

_TEXT = "sentence-transformers"
_FORMS = f"{_TEXT}:FOLDER or MODULE:ATTRIBUTE"


def load_encoder(name: str, *, device: str = "auto") -> Encoder:
    """Return an encoder by its name.

    Parameters
    ----------
    name : str
        - `sentence-transformers:FOLDER`, a model in a folder, which needs the extra `text`.
          Nothing is ever downloaded.
        - `module:attribute`, a function that takes a list of n texts or bytes and returns
          vectors of shape (n, D), or an object with the attributes of `Encoder`.
    device : str
        `auto` (a GPU when there is one), `cpu`, `cuda` or `cuda:i`; for models of ours.

    Raises
    ------
    ConfigError
        If there is no such encoder, or it cannot be loaded.
    """
    kind, colon, rest = name.partition(":")
    if not (kind and colon and rest):
        raise ConfigError(SettingName("encoder"), f" must be {_FORMS}; got {name!r}")
    if kind == _TEXT:
        from echo_stream.encoders.text import TextEncoder  # noqa: PLC0415 - loads torch

        return TextEncoder(rest, device=device)
    found = import_attribute(name, "encoder", _FORMS)
    if hasattr(found, "identity") and hasattr(found, "dim"):
        encoder: Encoder = found
        return encoder
    if not callable(found):
        words = f" {name!r} is not callable, but {type(found).__name__}"
        raise ConfigError(SettingName("encoder"), words)
    return FunctionEncoder(name, found)
