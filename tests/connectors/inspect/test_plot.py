"""The map of a snapshot: a picture with everything in it."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Array
from echo_stream.connectors.inspect.plot import (
    BRIDGE_COLOUR,
    CORE_COLOUR,
    EDGE_COLOUR,
    SUPPORT_COLOUR,
    plot_map,
)
from echo_stream.errors import ConfigError
from tests.support.strategies import identity_generation


def make_snapshot(x: Array, *, side: int = 4, support: int = 1) -> Snapshot:
    """Return the snapshot of points of shape (n, d) within [0, 1]."""
    generation = identity_generation(x.shape[1], side)
    engine = EchoCoreset(10, preset="paper", support=support, generation=generation, device="cpu")
    return engine.fit(x.astype(np.float32)).snapshot()


def cloud(dim: int) -> Array:
    """Return 100 points in [0, 1]."""
    return np.random.default_rng(0).random((100, dim))


def islands(dim: int) -> Array:
    """Return points in two corners, far from each other, of four cells each."""
    return np.concatenate([cloud(dim) / 5, 1 - cloud(dim) / 5])


def colours(path: Path) -> set[str]:
    """Return which colours of ours are in a picture."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    known = {"core": CORE_COLOUR, "support": SUPPORT_COLOUR, "edge": EDGE_COLOUR}
    # Thin lines are blended with what is below them: near the colour is enough, though not
    # so near that the grey edges of letters would do.
    return {
        name
        for name, colour in {**known, "bridge": BRIDGE_COLOUR}.items()
        if (np.abs(pixels / 255 - to_rgb(colour)).max(axis=2) < 0.06).any()
    }


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_map_is_a_picture(tmp_path: Path, dim: int) -> None:
    """A PNG of a size to look at, with core, support and edges, whatever the latent space."""
    path = plot_map(make_snapshot(cloud(dim)), tmp_path / "map.png")
    assert path == tmp_path / "map.png"
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert all(500 < side < 2_000 for side in image.size)
    assert {"core", "support", "edge"} <= colours(path)
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize("dim", [2, 3])
def test_bridges_are_drawn(tmp_path: Path, dim: int) -> None:
    """What links two islands has a colour of its own; where there is one there is none."""
    apart = make_snapshot(islands(dim), side=10)
    assert apart.edges.is_bridge.any()
    assert not apart.edges.is_bridge.all()
    together = make_snapshot(cloud(dim), side=2)
    assert not together.edges.is_bridge.any()
    assert "bridge" in colours(plot_map(apart, tmp_path / "apart.png"))
    assert "bridge" not in colours(plot_map(together, tmp_path / "together.png"))


def test_only_what_there_is_is_drawn(tmp_path: Path) -> None:
    """One cell, no edge, no support: the core is still there."""
    snapshot = make_snapshot(np.full((3, 2), 0.5), support=0)
    assert colours(plot_map(snapshot, tmp_path / "map.png")) == {"core"}


def test_points_outside_the_grid(tmp_path: Path) -> None:
    """The ring of outer cells is part of the picture."""
    snapshot = make_snapshot(cloud(2) * 3 - 1)
    assert min(snapshot.cells.cells)[0] == -1
    assert {"core", "support", "edge"} <= colours(plot_map(snapshot, tmp_path / "map.png"))


def test_same_snapshot_same_picture(tmp_path: Path) -> None:
    """Nothing in it depends on when it was drawn."""
    snapshot = make_snapshot(cloud(3))
    first = plot_map(snapshot, tmp_path / "first.png").read_bytes()
    assert plot_map(snapshot, tmp_path / "second.png").read_bytes() == first


def test_destination_in_the_way_is_kept(tmp_path: Path) -> None:
    """Only who says so overwrites a file, and nobody a folder."""
    snapshot, path = make_snapshot(cloud(2)), tmp_path / "map.png"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"map\.png already exists"):
        plot_map(snapshot, path)
    assert path.read_text() == "mine"
    assert "core" in colours(plot_map(snapshot, path, overwrite=True))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.png already exists"):
        plot_map(snapshot, tmp_path / "folder.png", overwrite=True)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "folder.png", path]


@pytest.mark.parametrize("name", ["map", "map.jpg", "map.svg"])
def test_other_suffix(tmp_path: Path, name: str) -> None:
    """A picture is named for what it is."""
    with pytest.raises(ConfigError, match=rf"{name} is not a \.png file"):
        plot_map(make_snapshot(cloud(2)), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
