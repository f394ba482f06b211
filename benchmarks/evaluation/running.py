"""A trial from its description to its line of the results."""

import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluation.choosing import Choosing, choose, loaded
from benchmarks.evaluation.classifiers import fitted
from benchmarks.evaluation.machine import machine
from benchmarks.evaluation.recipes import Recipe
from benchmarks.evaluation.results import Line, failed
from benchmarks.evaluation.trial import Trial
from echo_stream._common.typing import Array, IntArray

RARE = 0.5  # a class is rare below this share of the mean size of a class
DIGITS = 6
REFERENCE_ROWS = 2_000  # of the training set, the same for every selection
CHOSEN_ROWS = 10_000  # more are not looked at: the value hardly moves then


def attempt(trial: Trial, folders: Sequence[Path], device: str) -> Line:
    """Return a trial's line; where it fails, one that says how."""
    try:
        return run_trial(trial, folders, device)
    except Exception as err:  # whatever it is, other trials go on
        where = traceback.extract_tb(err.__traceback__)[-1]
        error = f"{type(err).__name__}: {err} ({Path(where.filename).name}:{where.lineno})"
        return failed(trial, error)


def run_family(trials: Sequence[Trial], folders: Sequence[Path], device: str) -> list[Line]:
    """Return the lines of trials in turn.

    A selection without weights is trained on once for recipes that differ in these alone.
    """
    lines: list[Line] = []
    for trial in trials:
        twin = next((line for line in lines if _tells_of(line, trial)), None)
        lines.append(attempt(trial, folders, device) if twin is None else _retold(twin, trial))
    return lines


def _tells_of(line: Line, trial: Trial) -> bool:
    """Return whether a line has the numbers of another trial of its family, too."""
    if line["error"] is not None or line["has_weights"]:
        return False
    known = Trial(**line["trial"])
    recipes = (Recipe.parse(each.recipe) for each in (known, trial))
    one, other = (replace(recipe, sample_weights="none") for recipe in recipes)
    return one == other and replace(known, recipe=trial.recipe) == trial


def _retold(line: Line, trial: Trial) -> Line:
    """Return the line of a trial that has the numbers of another."""
    return line | failed(trial, "") | {"error": None}


def run_trial(trial: Trial, folders: Sequence[Path], device: str = "cpu") -> Line:
    """Choose, train and measure.

    Parameters
    ----------
    trial : Trial
    folders : sequence of Path
        Where data sets are looked for.
    device : str
        Of the training, see `echo_stream._common.device.resolve_device`.

    Returns
    -------
    Line
        `key`, `version`, `trial` and `error`, which is None; `n`, `budget` in samples,
        `labels` that the selection needs and the distinct `labels_used` in a loss,
        `num_core`, `num_support`, `num_pool`, `has_weights`; `accuracy` after the last step, and
        `best_accuracy` along the curve, which peeks at the test set; `chance`, the share of the
        test set's largest class; `balanced_accuracy`,
        `worst_class` with `worst_accuracy`, `rare_class` with `rare_recall`; `explained`, see
        `explained_share`; `diverged`, `steps`; seconds; the selector's `info`; `machine`.
    """
    measured_on = machine() | {"device": device}  # the code that is run, if it changes meanwhile
    data = loaded(trial.data, tuple(folders))
    found = choose(trial, data, folders)
    started, cpu_started = time.perf_counter(), time.process_time()
    metrics = fitted(data, found, Recipe.parse(trial.recipe), trial.train, trial.seed, device)
    took = {
        "training_s": time.perf_counter() - started,
        "training_cpu_s": time.process_time() - cpu_started,
    }
    per_class = metrics.pop("per_class")
    line = failed(trial, "") | {"error": None, "n": len(data.y_train)} | _sizes(found) | metrics
    line["has_weights"] = found.chosen.weights is not None
    line |= by_class(per_class, data.y_train)
    line["chance"] = np.unique(data.y_test, return_counts=True)[1].max() / len(data.y_test)
    line |= took | {
        "explained": explained_share(data.x_train, found.labels),
        "selection_s": found.seconds,
        "selection_cpu_s": found.cpu_seconds,
        "info": {name: _plain(value) for name, value in found.chosen.info.items()},
        "machine": measured_on,
    }
    return {key: round(v, DIGITS) if isinstance(v, float) else v for key, v in line.items()}


def by_class(per_class: dict[str, float], y_train: Array) -> dict[str, Any]:
    """Return what the accuracies of classes come to.

    A class of fewer than half as many training samples as the mean class is rare; with
    none, `rare_class` is None. Of several the rarest counts.

    Examples
    --------
    >>> found = by_class({"0": 1.0, "1": 0.5}, np.array([0, 0, 0, 0, 0, 1]))
    >>> found["balanced_accuracy"], found["worst_class"], found["rare_recall"]
    (0.75, '1', 0.5)
    """
    worst = min(per_class, key=lambda label: per_class[label])
    counts = Counter(map(str, y_train.tolist()))
    rare = min(per_class, key=lambda label: counts[label])
    is_rare = counts[rare] < RARE * len(y_train) / len(counts)
    return {
        "balanced_accuracy": sum(per_class.values()) / len(per_class),
        "worst_class": worst,
        "worst_accuracy": per_class[worst],
        "rare_class": rare if is_rare else None,
        "rare_recall": per_class[rare] if is_rare else None,
    }


def explained_share(x: Array, chosen: IntArray) -> float:
    """Return the facility-location value of a selection, scaled.

    Similarity is minus the squared distance. The value is mapped to 1 where each sample is
    chosen itself, and to 0 where it is as near as to the mean of all: the share of the
    variance that the nearest chosen samples explain. Measured over 2,000 rows of
    x (n, ...) that are the same for every selection. O(2,000 |chosen| D).

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> explained_share(x, np.arange(4)), round(explained_share(x, np.array([0, 2])), 2)
    (1.0, 0.98)
    """
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(x))[:REFERENCE_ROWS]
    looked_at = rng.permutation(chosen)[:CHOSEN_ROWS]
    reference, kept = _flat(x[rows]), _flat(x[looked_at])
    centre = reference.mean(axis=0)
    reference, kept = reference - centre, kept - centre  # the smaller, the less is rounded off
    lengths, kept_lengths = (np.square(part).sum(axis=1) for part in (reference, kept))
    nearest = (kept_lengths - 2 * reference @ kept.T).min(axis=1) + lengths
    return float(1 - nearest.mean() / lengths.mean()) if lengths.any() else 1.0


def _sizes(found: Choosing) -> dict[str, int]:
    """Return how many samples were chosen as what."""
    return {
        "labels": len(found.labels),
        "num_core": len(found.chosen.core),
        "num_support": len(found.chosen.support),
        "num_pool": len(found.pool),
    }


def _plain(value: object) -> object:
    """Return a number of numpy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _flat(x: Array) -> Array:
    """Return samples as vectors (n, D), float64."""
    return x.reshape(len(x), -1).astype(np.float64)
