"""What pages call data sets, models, recipes of training, budgets and metrics."""

import re

from benchmarks.evaluation.results import METRICS
from benchmarks.evaluation.trial import Budget

MISSING = "–"  # of a number in a table

DATA = {
    "banking77": "Banking77",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "covertype": "Covertype",
    "fashion-mnist": "Fashion-MNIST",
    "mnist": "MNIST",
    "skin": "Skin",
    "smtp": "SMTP",
    "svhn": "SVHN",
}
MODELS = {"lenet": "LeNet", "logistic": "logistic regression", "resnet18": "ResNet-18"}
RECIPES = {
    "ce": "cross-entropy",
    "structural": "structural loss",
    "pool": "random support",
    "auto": "automatic weights",
    "roots": "square-root weights",
    "weights": "full weights",
}


def data_name(name: str) -> str:
    """Return the name of a data set, or of a version of one.

    Examples
    --------
    >>> data_name("fashion-mnist-lt@valid"), data_name("digits")
    ('long-tailed Fashion-MNIST, validation part', 'digits')
    """
    base, _, part = name.partition("@")
    plain = base.removesuffix("-lt")
    words = DATA.get(plain, plain)
    return f"{'long-tailed ' * (plain != base)}{words}{', validation part' * bool(part)}"


def place_name(data: str, order: str) -> str:
    """Return a data set, and the order of the stream if it is one."""
    return data_name(data) if order == "at once" else f"{data_name(data)}, {order}"


def model_name(model: str) -> str:
    """Return a model in words."""
    return MODELS[model]


def recipe_name(recipe: str) -> str:
    """Return a recipe of training in words.

    Examples
    --------
    >>> recipe_name("structural+auto")
    'structural loss, automatic weights'
    """
    return ", ".join(RECIPES[part] for part in recipe.split("+"))


def budget_name(budget: Budget, size: int | None = None) -> str:
    """Return a budget, and of a share also the number of samples if it is known.

    Examples
    --------
    >>> budget_name(3_000), budget_name("50%", 4_002)
    ('3,000', '50 % (4,002)')
    """
    if isinstance(budget, int):
        return f"{budget:,}"
    name = budget.replace("%", " %")
    return name if size is None else f"{name} ({size:,})"


def metric_name(metric: str) -> str:
    """Return what a metric is, with its unit."""
    shown = METRICS[metric]
    return f"{shown.words}, {shown.unit}" if shown.unit else shown.words


def spread(mean: float, deviation: float | None, digits: int = 1, sign: str = "") -> str:
    """Return mean ± spread; of a single seed there is no spread.

    Examples
    --------
    >>> spread(2.0, 0.25, sign="+"), spread(-0.01, None)
    ('+2.0 ± 0.2', '0.0')
    """
    text = f"{mean:{sign}z.{digits}f}"  # z: zero has no sign of its own
    return text if deviation is None else f"{text} ± {deviation:.{digits}f}"


def slug(heading: str) -> str:
    """Return the anchor of a heading.

    Examples
    --------
    >>> slug("CIFAR-10's pixels, at once")
    'cifar-10s-pixels-at-once'
    """
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
