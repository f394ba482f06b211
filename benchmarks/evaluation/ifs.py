"""The integrated fidelity score: accuracy over all budgets, as a share of that with all data.

Source: the ECHO paper, section V-B, equation 15. The scan garbles the weights; with
w(b) proportional to exp(-b), b the share of the data, all 19 scores of its Table I come out.
"""

import math
from collections.abc import Iterable, Mapping


def budget_weights(budgets: Iterable[float]) -> dict[float, float]:
    """Return the weight of each budget, a share of the data; they sum to 1.

    Examples
    --------
    >>> {share: round(weight, 2) for share, weight in budget_weights([0.1, 0.5]).items()}
    {0.1: 0.6, 0.5: 0.4}
    """
    raw = {budget: math.exp(-budget) for budget in budgets}
    return {budget: weight / sum(raw.values()) for budget, weight in raw.items()}


def integrated_fidelity(accuracies: Mapping[float, float], full: float) -> float:
    """Return the score of accuracies by budget, given that of the model with all data.

    Examples
    --------
    >>> round(integrated_fidelity({0.01: 0.4, 0.5: 0.8}, 0.8), 2)
    0.69
    """
    weights = budget_weights(accuracies)
    return sum(weights[budget] * value / full for budget, value in accuracies.items())
