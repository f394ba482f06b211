"""Samples with the same payload, of which no more are held than a cell is asked for."""

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream._common.typing import Array
from tests.support.adversarial import assert_no_wrong_certificate, claims, stream, truth
from tests.support.strategies import identity_generation


def without(engine: EchoCoreset, rows: Array) -> Array:
    """Let an engine forget rows; return those of 1,024 that are left, since they were missed."""
    gone = [row for row in rows.tolist() if engine.forget(row)]
    return np.delete(np.arange(1_024), gone)


@pytest.mark.slow
@pytest.mark.parametrize("place", [1.01, 0.99])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_what_was_left_out_is_asked_for_when_other_cells_are_gone(place: float, side: int) -> None:
    """Of slots that dropped twins should fill none is certified, nor one that is left empty."""
    groups = [(0.0, 100), (1.0, 60), (place, 8), (0.5, 856)]
    points = np.repeat(*map(np.array, zip(*groups, strict=True)))[:, None].repeat(2, axis=1)
    points = points.astype(np.float32)
    engine = stream(points, identity_generation(2, side), 20, 0)
    left = without(engine, np.r_[:100, 168:1_024])
    assert left.tolist() == list(range(100, 168))
    snapshot, expected = engine.snapshot(), truth(points[left], engine, left)
    assert_no_wrong_certificate(snapshot, expected)
    assert snapshot.certified_fraction == sum(claims(snapshot).values()) / 20
    assert (snapshot.certified_fraction == 1.0) == (set(claims(snapshot)) == expected)
    engine.repair(points)
    assert engine.snapshot().certified_fraction == 1.0
    assert set(claims(engine.snapshot())) == expected


def test_spare_twins_take_the_places_of_forgotten_ones() -> None:
    """As many as were to spare; of ranks beyond these nothing is certified."""
    points = np.full((5_000, 2), 0.3, dtype=np.float32)
    engine = stream(points, identity_generation(2, 2), 10, 0)
    left = np.arange(len(points))
    for fraction in (1.0, 1.0, 1.0, 1.0, 0.9, 0.8):
        row = int(engine.coreset().ids[0])
        assert engine.forget(row) == 1
        left = left[left != row]
        snapshot = engine.snapshot()
        assert_no_wrong_certificate(snapshot, truth(points[left], engine, left))
        assert snapshot.certified_fraction == fraction
