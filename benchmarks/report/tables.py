"""What is known of a group, and its tables of scores."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import sqrt
from typing import NamedTuple

from benchmarks.evaluation.plan import ALL_SAMPLES, Group
from benchmarks.evaluation.results import METRICS
from benchmarks.evaluation.trial import Budget
from benchmarks.report.records import Record
from benchmarks.report.words import MISSING, budget_name, recipe_name, spread

Row = list[Record | None]
"""Cells of a selector, one a budget."""

NEAR = 1.0  # points
NOT_TABLED = {"best_accuracy", "explained"}  # in records alone, and among what a selection takes


class Found(NamedTuple):
    """What is known of a group.

    Attributes
    ----------
    group : Group
    cells : dict of tuple to Record
        By data, order, recipe, budget and selector.
    fidelity : dict of tuple to float
        By data, recipe and selector.
    """

    group: Group
    cells: dict[tuple[str, str, str, Budget, str], Record]
    fidelity: dict[tuple[str, str, str], float]

    @classmethod
    def of(cls, group: Group, kinds: Mapping[str, Sequence[Record]]) -> "Found":
        """Return what the records of a plan, by kind, say of a group."""
        cells = [record for record in kinds["cell"] if record["group"] == group.name]
        scores = [record for record in kinds["fidelity"] if record["group"] == group.name]
        keys = ("data", "order", "recipe", "budget", "selector")
        return cls(
            group,
            {tuple(cell[key] for key in keys): cell for cell in cells},
            {(r["data"], r["recipe"], r["selector"]): r["score"] for r in scores},
        )

    @property
    def places(self) -> list[tuple[str, str]]:
        """Data sets and orders of which there is anything."""
        known = {key[:2] for key in self.cells if key[4] != ALL_SAMPLES}
        every = product(self.group.data, (order or "at once" for order in self.group.orders))
        return [place for place in every if place in known]

    @property
    def scores(self) -> list[str]:
        """Metrics that have tables of their own."""
        return [m for m in self.group.metrics if METRICS[m].is_score and m not in NOT_TABLED]

    def row(self, place: tuple[str, str], recipe: str, selector: str) -> Row:
        """Return a selector's cells, one a budget."""
        return [self.cells.get((*place, recipe, b, selector)) for b in self.group.budgets]

    def takes(self, place: tuple[str, str]) -> tuple[list[str], dict[str, Row]]:
        """Return metrics of what a selection takes, and the rows of selectors that have some."""
        names = [m for m in self.group.metrics if m == "explained" or not METRICS[m].is_score]
        recipe = self.group.recipes[0]
        rows = {c.label: self.row(place, recipe, c.label) for c in self.group.selectors}
        known = {m for row in rows.values() for cell in row if cell for m in cell["metrics"]}
        shown = [name for name in names if name in known]
        some = {
            x: row for x, row in rows.items() if any(c and {*shown} & {*c["metrics"]} for c in row)
        }
        return shown, some if shown else {}

    def beside(self) -> list[tuple[Record, str, str, Record]]:
        """Return cells of ours with metric, rival and difference; those of a pair in a row."""
        found = [
            (cell, metric, rival, gain)
            for metric in self.group.metrics
            for cell in self.cells.values()
            for rival, gain in cell.get("beside", {}).get(metric, {}).items()
        ]
        return sorted(found, key=lambda each: (each[0]["selector"], each[2]))


def score_table(found: Found, place: tuple[str, str], metric: str) -> list[list[str]]:
    """Return the head and the rows of a score by selector and budget.

    The best of a recipe and budget is bold; selectors that are trained alike have one row.
    """
    group = found.group
    pairs = list(product((choice.label for choice in group.selectors), group.recipes))
    cells = {pair: found.row(place, pair[1], pair[0]) for pair in pairs}
    extra = _extra(found, place, metric, cells)
    sizes = [
        next((c.get("size") for c in at if c), None) for at in zip(*cells.values(), strict=True)
    ]
    budgets = map(budget_name, group.budgets, sizes)
    several = len(group.recipes) > 1
    table = [["selector", *["training"] * several, *budgets, *extra]]
    for choice in group.selectors:
        rows = {}
        for recipe in group.recipes:
            row = cells[choice.label, recipe]
            texts = [
                _score(cell, metric, _best(cells, recipe, metric, at))
                for at, cell in enumerate(row)
            ]
            if any(text != MISSING for text in texts):
                more = [column[choice.label, recipe] for column in extra.values()]
                rows[recipe_name(recipe)] = [row_name(choice.label, row), *texts, *more]
        for training, (name, *others) in _alike(rows).items():
            table.append([name, *[training] * several, *others])
    return table


def held_table(
    found: Found, place: tuple[str, str], metric: str, budget: Budget
) -> list[list[str]]:
    """Return the head and the rows of a score by payloads held and selector.

    The last row is the smallest number held that comes within a point of keeping everything; no
    rows where that was not measured.
    """
    group = found.group

    def score(label: str) -> Record | None:
        """Return what a selector has reached, and of how many seeds."""
        cell = found.cells.get((*place, group.recipes[0], budget, label))
        known = cell["metrics"].get(metric) if cell else None
        return known | {"seeds": cell["seeds"]} if cell and known else None

    scores = {
        (choice.plain_label, choice.held): known
        for choice in group.selectors
        if choice.held is not None and (known := score(choice.label))
    }
    whole = score(group.everything)
    if whole is None or not scores:
        return []
    names = list(dict.fromkeys(name for name, _ in scores))
    numbers = sorted({number for _, number in scores})
    near = {key for key, known in scores.items() if known["mean"] >= whole["mean"] - NEAR}
    enough = {name: [f"{n:,}" for n in numbers if (name, n) in near] for name in names}
    return [
        ["payloads held", *names],
        *([f"{n:,}", *(_mean(scores.get((name, n))) for name in names)] for n in numbers),
        [
            f"smallest number within a point of {group.everything}, {_mean(whole)}",
            *(enough[name][0] if enough[name] else MISSING for name in names),
        ],
    ]


def joined(row: Row, metric: str) -> str:
    """Return the means of a row, one a budget, or the one that all of them are."""
    digits = 2 if METRICS[metric].unit == "s" else 1
    texts = [
        f"{cell['metrics'][metric]['mean']:,.{digits}f}"
        if cell and metric in cell["metrics"]
        else MISSING
        for cell in row
    ]
    return texts[0] if len(set(texts)) == 1 else " / ".join(texts)


def num_labels(cell: Record) -> int:
    """Return the number of labels that a cell needs."""
    return int(cell.get("labels") or cell.get("size") or cell["budget"])


def row_name(label: str, row: Row) -> str:
    """Return the name of a row: its label, what it looked at, and of how few seeds it is."""
    cells = [cell for cell in row if cell]
    seen = max((cell.get("labels_seen", 0) for cell in cells), default=0)
    name = f"{label} (chooses by {seen:,} labels)" if seen else label
    seeds = {cell["seeds"] for cell in cells}
    return name if len(seeds) < 2 else f"{name} [{min(seeds)}-{max(seeds)} seeds]"


def _score(cell: Record | None, metric: str, best: float | None) -> str:
    """Return mean ± deviation over seeds, and in brackets the difference to the baseline."""
    if cell is None or metric not in cell["metrics"]:
        return MISSING
    found = cell["metrics"][metric]
    text = spread(found["mean"], found.get("sd"))
    text = f"**{text}**" if found["mean"] == best else text
    if "gain" not in found:
        return text
    return f"{text} ({spread(found['gain'], found.get('gain_error'), sign='+')})"


def _mean(score: Record | None) -> str:
    """Return mean ± standard error."""
    if score is None:
        return MISSING
    return spread(score["mean"], score["sd"] / sqrt(score["seeds"]) if "sd" in score else None)


def _best(
    cells: Mapping[tuple[str, str], Row], recipe: str, metric: str, column: int
) -> float | None:
    """Return the highest mean of a recipe and budget."""
    found = (row[column] for (_, known), row in cells.items() if known == recipe)
    scores = (cell["metrics"].get(metric) for cell in found if cell)
    return max((score["mean"] for score in scores if score), default=None)


def _alike(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return rows by training; one alone where a selector without weights is trained alike."""
    plain = [[text.replace("**", "") for text in row] for row in rows.values()]
    if len(rows) < 2 or any(row != plain[0] for row in plain):
        return rows
    whole = zip(plain[0], zip(*rows.values(), strict=True), strict=True)
    return {"any": [texts[0] if len(set(texts)) == 1 else text for text, texts in whole]}


def _extra(
    found: Found, place: tuple[str, str], metric: str, cells: Mapping[tuple[str, str], Row]
) -> dict[str, dict[tuple[str, str], str]]:
    """Return more columns by head: the fidelity score, and labels where others than the budget."""
    columns: dict[str, dict[tuple[str, str], str]] = {}
    if metric == "accuracy" and any(key[0] == place[0] for key in found.fidelity):
        scores = {row: found.fidelity.get((place[0], row[1], row[0])) for row in cells}
        columns["fidelity"] = {
            row: MISSING if score is None else f"{score:.2f}" for row, score in scores.items()
        }
    if any(cell and "labels" in cell for row in cells.values() for cell in row):
        columns["labels"] = {
            name: " / ".join(f"{num_labels(cell):,}" for cell in row if cell)
            for name, row in cells.items()
        }
    return columns
