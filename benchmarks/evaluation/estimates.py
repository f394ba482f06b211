"""About how long trials take, before any is run.

Seconds of one process with one thread on a core of an idle server; for ResNet-18, on one GPU.
"""

from collections.abc import Iterable, Sequence

from benchmarks.evaluation.trial import Budget, Trial, share_of

ROWS = {
    "mnist": 60_000, "fashion-mnist": 60_000, "cifar10": 50_000, "cifar100": 50_000,
    "svhn": 73_257, "banking77": 10_003,
}  # fmt: skip
HEAD_START = 0.1  # of the expected time, see `seconds_left`
OTHER_ROWS = 100_000  # of the sets in a table, roughly

BATCH = 256
DEFAULT_EPOCHS = 200
LENET_STEP = 1.2e-3, 5e-5  # for the step, and for each sample of its batch
LENET_MEASURING = 3.0  # points of the curve, and the end
RESNET_SAMPLE = 3e-4  # forward and backward, and what is measured; assumed, see paper-gpu.toml
LOGISTIC_SAMPLE = 2e-4
ALL_PAIRS = {"facility-location": 14.0, "graph-cut": 11.0}  # of 20,000 samples
PAIRED_ROWS = 20_000
MEDOIDS_SAMPLE = 0.009  # k-means' of all samples, for each sample of the budget
REDUCED_SAMPLE = 5e-4  # of merge-and-reduce, for each sample of the stream
SELECTION = {
    "echo-paper": 10.0,  # budgets and supports of a seed share an encoder, of 50 seconds
    "echo": 5.0, "echo-fixed": 5.0, "k-center": 1.0, "herding": 5.0,
    "echo-quotas": 5.0, "reservoir-medoids": 2.0, "kmeans-nearest": 5.0,
    "reservoir-facility": 2.0,
    "clustream-nearest": 15.0, "sieve-streaming++": 20.0,
    # These six share the training of a model, of 45 seconds, at all budgets.
    "least-confidence": 5.0, "entropy": 5.0, "margin": 5.0, "el2n": 5.0, "grand": 5.0,
    "forgetting": 5.0,
}  # fmt: skip


def expected_seconds(trials: Sequence[Trial]) -> float:
    """Return the seconds that trials take together, selections that they share once."""
    chosen = {trial.family: selection_seconds(trial) for trial in trials}
    return sum(chosen.values()) + sum(map(training_seconds, trials))


def selection_seconds(trial: Trial) -> float:
    """Return the seconds of a trial's selection."""
    if trial.selector in ALL_PAIRS:
        most = trial.options.get("max_rows", PAIRED_ROWS)
        rows = min(rows_of(trial, "100%"), rows_of(trial, most))
        return float(ALL_PAIRS[trial.selector] * (rows / PAIRED_ROWS) ** 2)
    if trial.selector == "merge-reduce":
        return 1.0 + REDUCED_SAMPLE * rows_of(trial, "100%")
    if trial.selector == "k-medoids":
        return 1.0 + MEDOIDS_SAMPLE * rows_of(trial, trial.budget)
    return SELECTION.get(trial.selector, 1.0)


def rows_of(trial: Trial, budget: Budget) -> float:
    """Return a number of samples, or what a share of the training set comes to."""
    share = share_of(budget)
    return int(budget) if share is None else share * ROWS.get(name_of(trial.data), OTHER_ROWS)


def name_of(data: str) -> str:
    """Return the name of a data set, whatever its part or tail."""
    return data.partition("@")[0].removesuffix("-lt")


def training_seconds(trial: Trial) -> float:
    """Return the seconds of a trial without its selection."""
    rows = rows_of(trial, trial.budget)
    model = trial.train.get("model") or model_of(name_of(trial.data))
    if model == "logistic":
        return 0.1 + LOGISTIC_SAMPLE * min(rows, 20_000)
    batch = min(BATCH, rows)
    epochs = trial.train.get("epochs", DEFAULT_EPOCHS)
    steps = trial.train.get("steps") or epochs * max(rows / BATCH, 1)
    if model == "resnet18":
        return float(steps * batch * RESNET_SAMPLE)
    return float(LENET_MEASURING + steps * (LENET_STEP[0] + LENET_STEP[1] * batch))


def model_of(name: str) -> str:
    """Return the model that a data set's loader names, known here without its data."""
    if name in {"mnist", "fashion-mnist"}:
        return "lenet"
    return "resnet18" if name in {"cifar10", "cifar100", "svhn"} else "logistic"


def seconds_left(spent: float, whole: float, rest: float, workers: int) -> float:
    """Return how long the rest takes at the pace so far.

    Parameters
    ----------
    spent : float
        Seconds since the beginning.
    whole, rest : float
        Expected seconds of one process for all trials, and for those that are left.
    workers : int
        A tenth of the whole counts as done at the expected pace, so that the start of the
        processes and the first trial do not decide.

    Examples
    --------
    >>> seconds_left(60, 100, 50, 1), round(seconds_left(30, 100, 99, 1))
    (58.333333333333336, 360)
    """
    head_start = HEAD_START * whole
    pace = (spent + head_start / workers) / max(whole - rest + head_start, 1e-9)
    return rest * pace


def in_words(seconds: float) -> str:
    """Return a time for people.

    Examples
    --------
    >>> in_words(40), in_words(4000), in_words(1e6)
    ('40 s', '1.1 h', '11.6 d')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def by_data(trials: Iterable[Trial]) -> dict[str, float]:
    """Return the expected seconds by data set."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.data, []).append(trial)
    return {name: expected_seconds(part) for name, part in found.items()}
