"""The quantiser by codewords: Voronoi cells in a latent space of any dimension."""

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from echo_stream._common.device import single_threaded
from echo_stream._common.fixed_point import round_to_spacing, weight_bits
from echo_stream._common.scratch import chunks
from echo_stream._common.typing import Array, Cell, FloatArray, IntArray
from echo_stream.generation.quantiser import Located
from echo_stream.generation.seeding import MAX_CANDIDATES, greedy_seeds

MAX_CODEWORDS = MAX_CANDIDATES  # of which their seeds are chosen
CODEWORDS_OF_CLASS = 256  # at most, where each class has cells of its own
_SAMPLES_PER_CODEWORD = 2  # of the training samples, at least
_FOLDS = 5  # of the cross-validation that says how far unseen points lie
_ENOUGH_MEASURED = 1_000  # distances; they fix a mean to a few per cent
_ITERATIONS = 20  # of Lloyd's at most; more made no better coreset


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """Each point belongs to its nearest codeword; ties go to the smaller number.

    Codewords are rounded so that their products with rounded points are exact sums
    (see `echo_stream._common.fixed_point`): the nearest one is the same in any block, with
    any number of threads, on any device.

    Attributes
    ----------
    codewords : tensor of shape (K, d), float64
        Distinct.

    Examples
    --------
    >>> book = Codebook(torch.tensor([[0.0], [1.0], [4.0]], dtype=torch.float64))
    >>> located = book.locate(torch.tensor([[0.9], [3.0]], dtype=torch.float64))
    >>> located.keys.tolist(), located.second_nearest.tolist()
    ([1, 2], [0, 1])
    """

    codewords: torch.Tensor

    @property
    def kind(self) -> str:
        """Name of the quantiser."""
        return "codebook"

    @property
    def dim(self) -> int:
        """Dimension d of the latent space."""
        return self.codewords.shape[1]

    @property
    def max_cells(self) -> int:
        """Number of codewords, K."""
        return len(self.codewords)

    def locate(self, latent: torch.Tensor) -> Located:
        """Return the nearest and second nearest codewords of points (n, d). O(n K d).

        |z - c|^2 is least where z c - |c|^2 / 2 is largest: one matrix product.
        """
        halves = self.codewords.square().sum(dim=1) / 2
        nearest = torch.empty(len(latent), dtype=torch.int64, device=latent.device)
        second = torch.empty_like(nearest)
        for rows in chunks(len(latent), latent.device):
            # The halves are no multiples of the products' spacing: subtracted after exact sums.
            scores = (latent[rows] @ self.codewords.T).sub_(halves)
            nearest[rows] = _argmax(scores)
            scores.scatter_(1, nearest[rows, None], -torch.inf)
            second[rows] = _argmax(scores)
        return Located(nearest, second if self.max_cells > 1 else None)

    def cell(self, key: int) -> Cell:
        """Return the index of a cell: the number of its codeword."""
        return (key,)

    def face_pairs(self, _keys: IntArray, _among: IntArray) -> IntArray:
        """Return no pairs: witnesses decide which cells are adjacent."""
        return np.zeros((0, 2), dtype=np.int64)

    def centres(self, keys: IntArray) -> FloatArray:
        """Return the codewords of cells."""
        return np.asarray(self.codewords.cpu().numpy()[keys])

    def unseen_distances(self, latent: torch.Tensor, *, seed: int) -> FloatArray:
        """Return squared distances of points to codewords that were found without them.

        k-means was fitted to its training points, and distances to it are too small by up
        to a third where ten share a codeword, and more where fewer do. So a fifth at a time
        is measured with as many codewords that are fitted to the rest, until there are 1,000:
        cross-validation.
        O(n K d).
        """
        points = latent.cpu().numpy()
        if len(points) == 1:
            return np.zeros(1)
        order = np.random.default_rng(seed).permutation(len(points))
        measured: list[FloatArray] = []
        for held_out in np.array_split(order, min(_FOLDS, len(points))):
            if sum(map(len, measured)) < _ENOUGH_MEASURED:
                measured.append(self._distances_without(points, held_out, seed))
        return np.concatenate(measured)

    def _distances_without(self, points: FloatArray, rows: IntArray, seed: int) -> FloatArray:
        """Return squared distances of rows of points to as many codewords fitted to the others."""
        others = np.delete(points, rows, axis=0)
        found = Codebook(torch.from_numpy(_fit_codewords(others, self.max_cells, seed)))
        nearest = found.locate(torch.from_numpy(points[rows])).keys.numpy()
        return np.asarray(np.square(points[rows] - found.centres(nearest)).sum(axis=1))

    def to(self, device: torch.device) -> "Codebook":
        """Return the codebook on device."""
        return replace(self, codewords=self.codewords.to(device))

    def describe(self) -> dict[str, Any]:
        """Return number of codewords and dimension as JSON."""
        return {"kind": self.kind, "num_codewords": self.max_cells, "dim": self.dim}

    def to_arrays(self) -> dict[str, Array]:
        """Return the codewords."""
        return {"codewords": self.codewords.cpu().numpy()}


def _argmax(scores: torch.Tensor) -> torch.Tensor:
    """Return the first largest entry of each row. On a CPU by numpy: five times as fast."""
    if scores.device.type == "cpu":
        return torch.from_numpy(scores.numpy().argmax(axis=1))
    return scores.max(dim=1).indices


def train_codebook(
    latent: torch.Tensor, *, slots: int, seed: int, times: IntArray | None = None
) -> Codebook:
    """Return the codebook that k-means finds among training points, from greedy seeds.

    Parameters
    ----------
    latent : tensor of shape (n, d), float64
    slots : int
        Of the core. K is the smallest of it, n / 2, 4,096 and the number of distinct points.
    seed : int
    times : ndarray of shape (n,), int64, optional
        How often each point counts; once where it is not given.

    Notes
    -----
    O(n K d), 20 times at most, after `echo_stream.generation.seeding.greedy_seeds`.
    Mini-batches would be faster, but with two to ten points a codeword they end far from the
    means, and k-means++ begins worse: the default was measured with all three.
    """
    points = latent.cpu().numpy()
    number = max(1, min(slots, len(points) // _SAMPLES_PER_CODEWORD))
    codewords = torch.from_numpy(_fit_codewords(points, number, seed, times))
    return Codebook(torch.unique(rounded_codewords(codewords), dim=0).to(latent.device))


def rounded_codewords(codewords: torch.Tensor) -> torch.Tensor:
    """Return codewords (K, d) so rounded that their products with rounded points are exact."""
    _, exponent = math.frexp(float(codewords.abs().max()))
    return round_to_spacing(codewords, math.ldexp(1.0, exponent - weight_bits(codewords.shape[1])))


def _fit_codewords(
    points: FloatArray, number: int, seed: int, times: IntArray | None = None
) -> FloatArray:
    """Return the centres that k-means finds, (number, d), float64; fewer for as few points."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - slow to import
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    with single_threaded(), warnings.catch_warnings():
        seeds = greedy_seeds(points, number, seed=seed, times=times)
        kmeans = KMeans(len(seeds), init=seeds, n_init=1, max_iter=_ITERATIONS, random_state=seed)
        # Points that all but coincide share a codeword, and those that are left over go with
        # the other duplicates.
        warnings.simplefilter("ignore", ConvergenceWarning)
        kmeans.fit(points, sample_weight=times)
    return np.asarray(kmeans.cluster_centers_.astype(np.float64))
