"""Errors that name settings."""

import pickle

import pytest

from echo_stream import errors
from echo_stream.config import EngineConfig
from echo_stream.errors import ConfigError, EchoStreamError, SettingName

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, EchoStreamError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_message(kind: type[EchoStreamError]) -> None:
    """Whatever else its class is, an error reads as one text, also in another process."""
    err = pickle.loads(pickle.dumps(kind(SettingName("budget"), " must be ", "at least 1")))
    assert str(err) == "budget must be at least 1"
    assert [isinstance(part, SettingName) for part in err.parts] == [True, False, False]


def test_python_users_see_names_of_python() -> None:
    """Both settings of a message are named as the class has them."""
    words = "^support_share must be 0 under preset paper; got 0.2; give support, the number"
    with pytest.raises(ConfigError, match=words) as found:
        EngineConfig(preset="paper", support_share=0.2)
    names = [part for part in found.value.parts if isinstance(part, SettingName)]
    assert names == ["support_share", "support"]
