"""What pools do not hold lies beyond what they say of it, whatever an engine has lived through."""

import os

import pytest

from tests.support.lives_of_pools import Life

pytestmark = pytest.mark.usefixtures("small_blocks")

LIVES = int(os.environ.get("ECHO_STREAM_FUZZ_LIVES", "25"))
STEPS = 7


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, "twins"])
def test_bounds_and_certificates_hold_at_every_step(kind: str | None) -> None:
    """Fed, merged, forgotten, restored, repaired and labelled, in any order."""
    for seed in range(LIVES):
        life = Life(seed, kind)
        for _ in range(STEPS):
            try:
                life.step()
                life.check()
            except Exception as error:
                error.add_note(f"seed {seed}, {kind=}, after {life.steps}")
                raise
