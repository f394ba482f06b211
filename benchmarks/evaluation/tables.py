"""Tables of a group's results in Markdown."""

from collections import defaultdict
from collections.abc import Mapping
from itertools import product

import numpy as np

from benchmarks.evaluation.by_order import is_by_order, order_rows
from benchmarks.evaluation.ifs import integrated_fidelity
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
    panels,
    scores,
    spread,
)
from benchmarks.evaluation.trial import Budget, share_of

STUCK = 1.1  # a model that is right no more often than this many times chance has not learnt

Row = tuple[Choice, str]
Lines = dict[tuple[Row, Budget], dict[int, Line]]
Full = dict[str, dict[int, Line]]  # by recipe: trainings on everything


def group_tables(group: Group, results: Mapping[str, Line]) -> list[str]:
    """Return a table for each data set, order and metric of which there is anything.

    What a selection is worth in itself has one for all orders of a data set.
    """
    found = []
    for panel in panels(group):
        rows = [(c, recipe) for c, recipe in product(group.selectors, group.recipes)]
        lines: Lines = {
            (row, budget): lines_of(group, panel, *row, budget, results)
            for row, budget in product(rows, group.budgets)
        }
        full = _full(group, panel, results)
        for metric in group.metrics:
            is_there = any(scores(cell, metric) for cell in lines.values())
            if is_there and not is_by_order(group, metric):
                found.append(_table(group, panel, metric, lines, full))
        found += _remarks(lines, full)
    for data, metric in product(group.data, group.metrics):
        if is_by_order(group, metric):
            head, body = order_rows(group, data, metric, results)
            found += [markdown(head, body)] if body else []
    return found


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table; the first column is text, the others are numbers."""
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return "".join(f"{row_text(cells)}\n" for cells in (head, aligned, *rows))


def row_text(cells: list[str]) -> str:
    """Return one row of a table."""
    return "| " + " | ".join(cells) + " |"


def panel_name(panel: Panel) -> str:
    """Return the name of a data set and the order in which it came."""
    return panel.data if panel.order is None else f"{panel.data}, {panel.order}"


def budget_name(budget: Budget, lines: Mapping[int, Line] | None = None) -> str:
    """Return a budget, and of a share also the number of samples if there are lines."""
    if share_of(budget) is None:
        return f"{budget:,}"
    sizes = {line["num_core"] + line["num_support"] for line in (lines or {}).values()}
    name = str(budget).replace("%", " %")
    return f"{name} ({sizes.pop():,})" if len(sizes) == 1 else name


def ranks(values: dict[Row, Seeds]) -> dict[Row, float]:
    """Return the rank of each row among those of its recipe, 1 the best; equals share theirs."""
    means = {row: found.mean for row, seeds in values.items() if (found := spread(seeds))}
    placed = {}
    for row, mean in means.items():
        rivals = [other for (_, recipe), other in means.items() if recipe == row[1]]
        above, equal = (sum(map(test, rivals)) for test in (mean.__lt__, mean.__eq__))
        placed[row] = above + (equal + 1) / 2
    return placed


def _table(group: Group, panel: Panel, metric: str, lines: Lines, full: Full) -> str:
    """Return one table, with its heading."""
    shown = METRICS[metric]
    rows = list(dict.fromkeys(row for row, _ in lines))
    values = {key: scores(cell, metric) for key, cell in lines.items()}
    placed = _mean_ranks(group, rows, values) if shown.is_score else {}
    fidelity = _fidelity(group, rows, values, full) if metric == "accuracy" else {}
    head = [f"{panel_name(panel)}: {shown.words}"]
    head += [budget_name(b, lines[(rows[0], b)]) for b in group.budgets]
    extra = {"mean rank": placed, "IFS": fidelity, "labels": _labels(group, rows, lines)}
    extra = {name: column for name, column in extra.items() if column}
    body = []
    for row in rows:
        cells = [_cell(group, row, budget, metric, values) for budget in group.budgets]
        if any(cell != MISSING for cell in cells):
            others = [column.get(row, MISSING) for column in extra.values()]
            body.append([_row_name(group, row, lines), *cells, *others])
    for recipe, cell in full.items():
        if metric == "accuracy" and (all_of_it := spread(scores(cell, metric))) is not None:
            name = f"all samples, {recipe}: {all_of_it.text()}"
            body.append([name, *[""] * (len(head) - 1 + len(extra))])
    return markdown([*head, *extra], body)


def _cell(
    group: Group,
    row: Row,
    budget: Budget,
    metric: str,
    values: Mapping[tuple[Row, Budget], Seeds],
) -> str:
    """Return mean ± deviation over seeds, and in brackets the difference to the baseline."""
    mine = values[(row, budget)]
    found = spread(mine)
    if found is None:
        return MISSING
    if not METRICS[metric].is_score:
        return found.text(2)
    text = found.text()
    means = (spread(v) for (r, b), v in values.items() if b == budget and r[1] == row[1])
    if found.mean >= max(s.mean for s in means if s is not None):
        text = f"**{text}**"
    against = difference(mine, values[((group.choice(group.baseline), row[1]), budget)])
    if row[0].label == group.baseline or against is None:
        return text
    return f"{text} ({against.text(sign='+')})"


def _row_name(group: Group, row: Row, lines: Lines) -> str:
    """Return a row's name, with its recipe where there are several."""
    cells = [cell for (r, _), cell in lines.items() if r == row]
    return row_name(group, row[0], cells, row[1] if len(group.recipes) > 1 else "")


def _mean_ranks(
    group: Group, rows: list[Row], values: Mapping[tuple[Row, Budget], Seeds]
) -> dict[Row, str]:
    """Return the mean over budgets of each row's rank; nothing where one stands alone."""
    if len(group.selectors) == 1:
        return {}
    found: dict[Row, list[float]] = defaultdict(list)
    for budget in group.budgets:
        for row, rank in ranks({row: values[(row, budget)] for row in rows}).items():
            found[row].append(rank)
    return {row: f"{np.mean(places):.1f}" for row, places in found.items()}


def _fidelity(
    group: Group,
    rows: list[Row],
    values: Mapping[tuple[Row, Budget], Seeds],
    full: Full,
) -> dict[Row, str]:
    """Return the integrated fidelity scores of rows that have every budget.

    They are shares of what a model has of all samples: none where one has learnt nothing.
    """
    shares = {budget: share_of(budget) for budget in group.budgets}
    found = {}
    for row in rows:
        cell = full.get(row[1].partition("+")[0], {})
        all_of_it = None if any(map(_is_stuck, cell.values())) else spread(scores(cell, "accuracy"))
        means = {s: m.mean for b, s in shares.items() if s and (m := spread(values[(row, b)]))}
        if all_of_it is not None and len(means) == len(shares):
            found[row] = f"{integrated_fidelity(means, all_of_it.mean):.2f}"
    return found


def _labels(group: Group, rows: list[Row], lines: Lines) -> dict[Row, str]:
    """Return the labels that each row needs, by budget; under P1, of those that need fewer."""
    found: dict[Row, list[float]] = {
        row: [
            float(np.mean([line["labels"] for line in lines[(row, budget)].values()]))
            for budget in group.budgets
            if lines[(row, budget)]
        ]
        for row in rows
    }
    if group.protocol == "P1":
        most = max(found.values(), key=sum, default=[])
        found = {
            row: means
            for row, means in found.items()
            if len(means) == len(most) and sum(means) < sum(most)
        }
    return {row: " / ".join(f"{mean:,.0f}" for mean in means) for row, means in found.items()}


def _full(group: Group, panel: Panel, results: Mapping[str, Line]) -> Full:
    """Return the results of models that are trained on everything, by recipe and seed."""
    found: Full = {}
    if group.with_full:
        for recipe, seed in product(group.recipes, group.seeds):
            base = recipe.partition("+")[0]
            line = results.get(group.full_trial(panel.data, recipe, seed).key)
            if line is not None and line["error"] is None:
                found.setdefault(base, {})[seed] = line
    return found


def _remarks(lines: Lines, full: Full) -> list[str]:
    """Return what to know of trainings that came to nothing."""
    cells = {
        f"{choice.label}, {recipe}, {budget_name(budget)}": cell
        for ((choice, recipe), budget), cell in lines.items()
    } | {f"all samples, {recipe}": cell for recipe, cell in full.items()}
    found = []
    for words, is_such in (("diverged", _has_diverged), ("learnt nothing", _is_stuck)):
        rows = [
            f"{name}: {count}"
            for name, cell in cells.items()
            if (count := sum(map(is_such, cell.values())))
        ]
        if rows:
            found.append(f"Trainings that {words}: {'; '.join(rows)}.\n")
    return found


def _has_diverged(line: Line) -> bool:
    """Return whether a training ended in numbers that are not finite."""
    return bool(line["diverged"])


def _is_stuck(line: Line) -> bool:
    """Return whether a model is right hardly more often than one that has learnt nothing.

    Where nearly all samples are of one class every model is: it must miss a class altogether too.
    """
    return bool(line["accuracy"] <= STUCK * line["chance"] and line["worst_accuracy"] == 0)
