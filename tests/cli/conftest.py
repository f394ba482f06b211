"""Fixtures of the commands' tests."""

from pathlib import Path

import pytest

from tests.support.commands import write_data


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a small labelled data file."""
    return write_data(tmp_path / "data.npz")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state folder that does not exist yet."""
    return tmp_path / "state"
