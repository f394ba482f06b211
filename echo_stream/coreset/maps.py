"""Project samples and cells to two dimensions for pictures."""

from typing import NamedTuple

import numpy as np

from echo_stream._common.device import single_threaded
from echo_stream._common.typing import FloatArray
from echo_stream.coreset.rows import MAP_AXES
from echo_stream.sketch.cells import CellStatistics


class Map(NamedTuple):
    """Two coordinates of points, for pictures.

    Attributes
    ----------
    mean : ndarray of shape (d,), float64
    axes : ndarray of shape (d, 2), float64
    """

    mean: FloatArray
    axes: FloatArray

    def places(self, points: FloatArray) -> FloatArray:
        """Return where points of shape (n, d) lie, of shape (n, 2)."""
        return np.asarray((points - self.mean) @ self.axes)


def map_of(statistics: CellStatistics) -> Map:
    """Return the map of pictures: z itself when d = 2, else its main axes.

    The axes are the first two of the cells' centroids weighted by count: exact sums,
    so the picture does not depend on the order of arrival.
    """
    centroids = statistics.centroids
    dim = centroids.shape[1]
    if dim <= MAP_AXES:
        return Map(np.zeros(dim), np.eye(dim, MAP_AXES))
    mean = statistics.latent_sums.sum(axis=0) / statistics.counts.sum()
    centred = (centroids - mean) * np.sqrt(statistics.counts)[:, None]
    # A single cell has fewer axes of its own than are wanted.
    is_short = len(centred) < MAP_AXES
    with single_threaded():  # others that wait for each other hold it up on a busy machine
        axes = np.linalg.svd(centred, full_matrices=is_short)[2][:MAP_AXES]
    # The sign of an axis is free: its largest entry is made positive.
    signs = np.sign(axes[np.arange(MAP_AXES), np.abs(axes).argmax(axis=1)])
    return Map(mean, (axes * signs[:, None]).T)
