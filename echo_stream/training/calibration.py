"""Whether a classifier is as often right as it is sure.

Source: Guo, Pleiss, Sun & Weinberger (2017), "On Calibration of Modern Neural Networks",
ICML, equation 3.
"""

from typing import Any

import numpy as np

from echo_stream._common.typing import Array

BINS = 15  # as in the source


def calibration(confidences: Array, is_right: Array) -> dict[str, Any]:
    """Return the expected calibration error, and what it is the mean of. O(n).

    Parameters
    ----------
    confidences : ndarray of shape (n,), float
        Largest probability of each sample, from 0 to 1; NaN where a model has diverged.
    is_right : ndarray of shape (n,), bool

    Returns
    -------
    dict
        `ece`, the mean over samples of |accuracy - confidence| of their bin, from 0 to 1;
        None without samples, or with a confidence that is no number. `calibration`, by bin
        of confidence (15 of equal width, empty ones left out): `confidence`, `accuracy`
        and `samples`.

    Examples
    --------
    >>> calibration(np.array([0.75, 0.75, 1.0]), np.array([True, False, True]))["ece"]
    0.16666666666666666
    """
    if len(confidences) == 0 or not np.isfinite(confidences).all():
        return {"ece": None, "calibration": []}
    # Bins are open below and closed above, as in the source: ((b - 1) / 15, b / 15].
    bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
    samples = np.bincount(bins, minlength=BINS)
    occupied = samples > 0
    confidence = np.bincount(bins, confidences, minlength=BINS)[occupied] / samples[occupied]
    accuracy = np.bincount(bins, is_right, minlength=BINS)[occupied] / samples[occupied]
    gaps = np.abs(accuracy - confidence)
    return {
        "ece": float((gaps * samples[occupied]).sum() / len(confidences)),
        "calibration": [
            {"confidence": sure, "accuracy": right, "samples": count}
            for sure, right, count in zip(
                confidence.tolist(), accuracy.tolist(), samples[occupied].tolist(), strict=True
            )
        ],
    }
