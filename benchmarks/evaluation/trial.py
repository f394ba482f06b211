"""One cell of a plan: what is chosen of which data, by whom, and how a model is trained on it."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from echo_stream.errors import ConfigError

VERSION = 1
"""Of what a trial does. Raise it when the same trial would measure something else."""

Protocol: TypeAlias = Literal["P1", "P2"]
"""P1: all labels count within the budget. P2: the core alone is the budget, as in the paper."""

Budget: TypeAlias = int | str
"""A number of samples, or a share of the training set, such as "0.1%"."""

KEY_DIGITS = 16

CODEBOOK = 2  # of cells, and so of all that is chosen in them
REVISIONS = {
    "echo": 3, "echo-fixed": CODEBOOK, "echo-quotas": CODEBOOK,
    "gdumb": 1, "kmeans-nearest": 1, "clustream-nearest": 1, "sieve-streaming++": 1,
    "reservoir-medoids": 1,
}  # fmt: skip
"""How often what a selector chooses has changed: results of an older revision count no more."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one line of the results is the answer to.

    Attributes
    ----------
    data : str
        Name of a data set, see `benchmarks.data.load`.
    budget : int or str
    selector : str
    options : dict
        Of the selector; a share such as "10%" is of the training set.
    recipe : str
        See `benchmarks.evaluation.recipes.Recipe`.
    seed : int
        Of order, selection and training: trials of one seed are paired.
    protocol : {"P1", "P2"}
    order : str or None
        Of the stream, see `benchmarks.evaluation.orders`; None chooses from the whole set.
    train : dict
        Settings of `echo_stream.training.config.TrainConfig`.
    labels_of : tuple of (str, dict), or None
        Selector and options whose number of labels at this budget is the budget here.

    Examples
    --------
    >>> a, b = Trial("mnist", 60, "random"), Trial("mnist", 60, "random", seed=1)
    >>> len(a.key), a.key == b.key
    (16, False)
    """

    data: str
    budget: Budget
    selector: str
    options: dict[str, Any] = field(default_factory=dict)
    recipe: str = "ce"
    seed: int = 0
    protocol: Protocol = "P1"
    order: str | None = None
    train: dict[str, Any] = field(default_factory=dict)
    labels_of: tuple[str, dict[str, Any]] | None = None

    @property
    def key(self) -> str:
        """Digest of everything that decides the result."""
        changed = revisions_of({self.selector, *(self.labels_of or ())[:1]})
        return _digest(
            asdict(self) | {"version": VERSION} | ({"revisions": changed} if changed else {})
        )

    @property
    def family(self) -> str:
        """Digest that is shared by trials which may share a selection."""
        name, options = self.labels_of or (self.selector, self.options)
        return _digest([self.data, self.budget, name, options, self.seed, self.order])

    def describe(self) -> str:
        """Return the trial in words, for people who wait for it."""
        words = [self.data, str(self.budget), self.selector, self.recipe, f"seed {self.seed}"]
        return " ".join(words if self.order is None else [*words, self.order])


def revisions_of(names: Collection[str]) -> dict[str, int]:
    """Return the revisions of those selectors that have been revised.

    Examples
    --------
    >>> sorted(revisions_of({"random", "gdumb"}))
    ['gdumb']
    """
    return {name: REVISIONS[name] for name in names if name in REVISIONS}


def share_of(text: Budget) -> float | None:
    """Return the share that a budget such as "0.1%" is; None for a number of samples.

    Raises
    ------
    ConfigError
        If it is neither.

    Examples
    --------
    >>> share_of("0.1%"), share_of(60)
    (0.001, None)
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if text >= 1:
            return None
    elif isinstance(text, str) and text.endswith("%"):
        share = _number(text[:-1]) / 100
        if 0 < share <= 1:
            return share
    msg = f'a budget is a number of samples, at least 1, or a share such as "0.1%"; got {text!r}'
    raise ConfigError(msg)


def resolve_budget(budget: Budget, n: int) -> int:
    """Return the number of samples that a budget is, of n.

    Raises
    ------
    ConfigError
        If there are not as many.

    Examples
    --------
    >>> resolve_budget("0.1%", 50_000), resolve_budget(60, 50_000)
    (50, 60)
    """
    share = share_of(budget)
    number = int(budget) if share is None else max(round(share * n), 1)
    if number > n:
        msg = f"the budget must be at most {n}, the size of the training set; got {budget}"
        raise ConfigError(msg)
    return number


def resolve_options(options: dict[str, Any], n: int) -> dict[str, Any]:
    """Return options with shares such as "10%" as numbers of samples, of n."""
    return {
        name: resolve_budget(value, n) if isinstance(value, str) and value.endswith("%") else value
        for name, value in options.items()
    }


def _number(text: str) -> float:
    """Return the number that a text is; nan for any other, which is in no range."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _digest(content: object) -> str:
    """Return a short digest of what can be written as JSON."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]
