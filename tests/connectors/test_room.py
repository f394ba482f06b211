"""What a run does to its process while it goes on."""

import gc
import sys

import pytest
import torch

from echo_stream.connectors import room
from echo_stream.connectors.room import SWITCH_SECONDS, room_for_threads


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 1), (3, 2), (1.5, 1), (64, 3)])
def test_a_core_is_left_to_the_other_threads(
    monkeypatch: pytest.MonkeyPatch, cores: float, expected: int
) -> None:
    """Torch keeps the others, but takes no more threads than it was told; then all is as before."""
    monkeypatch.setattr(room, "usable_cores", lambda: cores)
    threads, interval, frozen = (
        torch.get_num_threads(),
        sys.getswitchinterval(),
        gc.get_freeze_count(),
    )
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError), room_for_threads():
            assert torch.get_num_threads() == expected
            assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS, rel=0.01)
            assert gc.get_freeze_count() > frozen
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert sys.getswitchinterval() == interval
    assert gc.get_freeze_count() == 0


def test_a_shorter_interval_is_kept() -> None:
    """Whoever has asked for more switches gets them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with room_for_threads():
            assert sys.getswitchinterval() == pytest.approx(1e-4, rel=0.02)
    finally:
        sys.setswitchinterval(interval)
