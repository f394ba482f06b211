"""Tables of what a selection is worth in one order of the stream beside another."""

from collections.abc import Mapping
from itertools import product

from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.plan import Choice, Group
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.row_names import row_name
from benchmarks.evaluation.scores import (
    MISSING,
    Panel,
    Seeds,
    difference,
    lines_of,
    scores,
    spread,
)
from benchmarks.evaluation.trial import Budget

BY_ORDER = ("explained",)  # metrics of the selection alone, whatever is trained on it

Column = tuple[str | None, Budget]


def is_by_order(group: Group, metric: str) -> bool:
    """Return whether a metric has one table for all orders of a group."""
    return metric in BY_ORDER and len(group.orders) > 1


def order_rows(
    group: Group, data: str, metric: str, results: Mapping[str, Line]
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table: selectors by budget and order.

    In brackets is the paired difference to the group's first order, ± its standard error.

    Parameters
    ----------
    group : Group
        With more than one order.
    data : str
    metric : str
    results : mapping of str to Line
        By key, see `benchmarks.evaluation.results.read_results`.
    """
    columns: list[Column] = [(order, b) for b, order in product(group.budgets, group.orders)]
    head = [f"{data}: {METRICS[metric].words}", *(f"{b}, {order}" for order, b in columns)]
    rows = []
    for choice in group.selectors:
        lines = {c: _lines(group, data, choice, c, results) for c in columns}
        values = {column: scores(found, metric) for column, found in lines.items()}
        first = {b: values[(group.orders[0], b)] for b in group.budgets}
        cells = [_cell(values[(o, b)], first[b], is_first=o == group.orders[0]) for o, b in columns]
        if any(cell != MISSING for cell in cells):
            rows.append([row_name(group, choice, lines.values()), *cells])
    return head, rows


def _lines(
    group: Group, data: str, choice: Choice, column: Column, results: Mapping[str, Line]
) -> dict[int, Line]:
    """Return lines by seed, of the first recipe: all recipes have the same selection."""
    order, budget = column
    return lines_of(group, Panel(data, order), choice, group.recipes[0], budget, results)


def _cell(values: Seeds, first: Seeds, *, is_first: bool) -> str:
    """Return mean ± deviation, and the difference to what it was in the first order."""
    found, against = spread(values), difference(values, first)
    if found is None:
        return MISSING
    if is_first or against is None:
        return found.text()
    return f"{found.text()} ({against.text(sign='+')})"
