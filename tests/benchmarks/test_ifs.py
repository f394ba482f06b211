"""The integrated fidelity score is the paper's."""

import pytest

from benchmarks.evaluation.ifs import budget_weights, integrated_fidelity
from benchmarks.evaluation.published import read_published


def test_all_scores_of_the_paper_come_out() -> None:
    """From its own accuracies, to the digits that it prints."""
    table = read_published()
    assert len(table.rows) == 19
    for row in table.rows:
        accuracies = dict(zip(table.budgets, row.accuracies, strict=True))
        assert round(integrated_fidelity(accuracies, table.full), 2) == row.fidelity, row.name


def test_weights_sum_to_one_and_fall() -> None:
    """Whatever the budgets."""
    weights = budget_weights([0.5, 0.001, 0.1])
    assert sum(weights.values()) == pytest.approx(1)
    assert weights[0.001] > weights[0.1] > weights[0.5]
