"""Fixtures of the tests of groups."""

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.samples.samples import Samples, as_objects
from tests.support.kafka.groups import CONFIG, LENGTH, NAMES


@pytest.fixture(scope="module")
def partitions() -> dict[str, Samples]:
    """Return the samples of four partitions, in the order of their offsets."""
    rng = np.random.default_rng(5)
    return {
        name: Samples(
            x=rng.normal(size=(LENGTH, 6)).astype(np.float32),
            ids=as_objects([f"{name}-{offset}" for offset in range(LENGTH)]),
        )
        for name in NAMES
    }


@pytest.fixture(scope="module")
def whole(partitions: dict[str, Samples]) -> EchoCoreset:
    """Return an engine that has counted everything, alone."""
    trained = EchoCoreset.from_config(CONFIG).fit_source(partitions[NAMES[0]]).generation_
    engine = EchoCoreset.from_config(CONFIG, generation=trained)
    for samples in partitions.values():
        engine.update(samples)
    return engine
