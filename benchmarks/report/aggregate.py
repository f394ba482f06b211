"""Records of a plan, out of the lines of its trials."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from benchmarks.evaluation.estimates import model_of, name_of
from benchmarks.evaluation.machine import machine_in_words, others_in_words
from benchmarks.evaluation.plan import ALL_SAMPLES, FULL, Floor, Group, Plan, Ranking
from benchmarks.evaluation.results import METRICS, Line, labels_seen
from benchmarks.evaluation.trial import Trial, revisions_of, share_of
from benchmarks.report.records import Record

OWN = frozenset(
    {"echo", "echo-fixed", "echo-paper", "echo-quotas"}
)  # selectors, whatever their options
STUCK = 1.1  # a model that is right no more often than this many times chance has not learnt
DIGITS = 4  # two more than are shown, so that hardly any is rounded twice
AT_ONCE = "at once"
PLACE = ["data", "order", "recipe", "budget"]
CELL = [*PLACE, "selector"]


class Difference(NamedTuple):
    """The mean of differences that are paired by seed, with its standard error."""

    mean: float
    error: float
    seeds: int

    @classmethod
    def of(cls, paired: pd.Series) -> "Difference":
        """Return that of some differences; of one there is no error."""
        found = paired.dropna()
        return cls(found.mean(), found.sem() if len(found) > 1 else 0.0, len(found))

    def verdict(self, asked: float) -> str:
        """Return whether a floor is met, and by what.

        Examples
        --------
        >>> [Difference(2.0, 0.5, 5).verdict(asked) for asked in (2.0, 2.5, 2.6)]
        ['met', 'met by its error', 'missed']
        """
        if self.mean >= asked:
            return "met"
        return "met by its error" if self.mean + self.error >= asked else "missed"


def plan_records(name: str, plan: Plan, lines: Mapping[str, Line]) -> list[Record]:
    """Return the records of all that was measured of a plan.

    Parameters
    ----------
    name : str
        Of the plan.
    plan : Plan
    lines : mapping of str to Line
        By key, see `benchmarks.evaluation.results.read_results`.
    """
    frames = {group.name: _frame(group, lines) for group in plan.groups}
    found: list[Record] = []
    for group in plan.groups:
        if not frames[group.name].empty:
            records = [_run(group, lines), *_cells(group, frames[group.name])]
            records += _fidelities(group, frames[group.name])
            for floor in plan.floors:
                records += _floor(floor, plan, frames) if floor.group == group.name else []
            place = {"plan": name, "group": group.name}
            found += [{"kind": record["kind"]} | place | record for record in records]
    for ranking in plan.rankings:
        found += [{"kind": "rank", "plan": name} | r for r in _ranks(ranking, plan, frames)]
    return [_known(record) for record in found]


def integrated_fidelity(accuracies: Mapping[float, float], full: float) -> float:
    """Return the paper's score of accuracies by budget, given that of the model with all data.

    Source: the ECHO paper, section V-B, equation 15. The scan garbles the weights; with
    w(b) proportional to exp(-b), b the share of the data, all 19 scores of its Table I come out.

    Examples
    --------
    >>> round(integrated_fidelity({0.01: 0.4, 0.5: 0.8}, 0.8), 2)
    0.69
    """
    weights = {budget: math.exp(-budget) for budget in accuracies}
    weighed = sum(weights[budget] * value for budget, value in accuracies.items())
    return weighed / sum(weights.values()) / full


def _frame(group: Group, lines: Mapping[str, Line]) -> pd.DataFrame:
    """Return the trials of a group that are done, one a row: cell, seed and numbers."""
    rows = [
        dict(zip(CELL, cell, strict=True)) | {"seed": trial.seed} | _numbers(line)
        for seed in group.seeds
        for cell, trial in _trials(group, seed)
        if (line := lines.get(trial.key)) is not None and line["error"] is None
    ]
    return pd.DataFrame(rows, columns=None if rows else [*CELL, "seed"])


def _trials(group: Group, seed: int) -> Iterator[tuple[Sequence[object], Trial]]:
    """Yield the trials of one seed with their cells."""
    places = product(group.data, group.orders, group.recipes, group.budgets, group.selectors)
    for data, order, recipe, budget, choice in places:
        trial = group.trial(data, budget, choice, recipe, seed, order)
        yield (data, order or AT_ONCE, recipe, budget, choice.label), trial
    if group.with_full:
        for data, recipe in product(group.data, {r.partition("+")[0]: 0 for r in group.recipes}):
            trial = group.full_trial(data, recipe, seed)
            yield (data, AT_ONCE, recipe, FULL, ALL_SAMPLES), trial


def _numbers(line: Line) -> dict[str, Any]:
    """Return the metrics of a line, in the units that are shown, and what else cells tell."""
    told = line["info"] | line
    scores = {m: METRICS[m].scale * told[m] for m in METRICS if told.get(m) is not None}
    # Where nearly all samples are of one class every model is right as often as by chance.
    is_stuck = line["accuracy"] <= STUCK * line["chance"] and line["worst_accuracy"] == 0
    return scores | {
        "size": line["num_core"] + line["num_support"],
        "labels": line["labels"],
        "labels_seen": labels_seen(line),
        "diverged": bool(line["diverged"]),
        "learnt_nothing": is_stuck,
    }


def _run(group: Group, lines: Mapping[str, Line]) -> Record:
    """Return how a group was measured."""
    trials = group.all_trials()
    known = [lines[trial.key] for trial in trials if trial.key in lines]
    errors = [line["error"] for line in known if line["error"] is not None]
    machines = [line["machine"] for line in known if line["error"] is None]
    return {
        "kind": "run",
        "trials": len(machines),
        "planned": len(trials),
        "seeds": len({line["trial"]["seed"] for line in known if line["error"] is None}),
        "failed": len(errors),
        "error": errors[0] if errors else None,
        "machines": dict(Counter(map(machine_in_words, machines))),
        "packages": sorted({name for found in machines for name in others_in_words(found)}),
        "commits": list(dict.fromkeys(m["commit"] for m in machines if "commit" in m)),
        "commit_unknown": sum("commit" not in m for m in machines),
        "revisions": revisions_of({choice.name for choice in group.selectors}),
    }


def _cells(group: Group, frame: pd.DataFrame) -> Iterator[Record]:
    """Yield the cells of a group."""
    metrics = [metric for metric in METRICS if metric in frame]
    pairs = {m: _pairs(frame, frame, m) for m in metrics if METRICS[m].is_score}
    gains = {
        metric: {key: Difference.of(part) for key, part in found.groupby([*CELL, "rival"])["gain"]}
        for metric, found in pairs.items()
    }
    for key, part in frame.groupby(CELL, sort=False):
        cell = dict(zip(CELL, key, strict=True))
        numbers: Record = {}
        for metric in metrics:
            if part[metric].notna().any():
                numbers[metric] = {"mean": part[metric].mean(), "sd": part[metric].std()}
                gain = gains.get(metric, {}).get((*key, group.baseline))
                if gain and cell["selector"] != group.baseline:
                    numbers[metric] |= {"gain": gain.mean, "gain_error": gain.error}
                numbers[metric] = _rounded(numbers[metric])
        size, labels = round(part["size"].mean()), round(part["labels"].mean())
        chosen = cell["budget"] if isinstance(cell["budget"], int) else size
        is_whole = cell["selector"] == ALL_SAMPLES
        yield {
            "kind": "cell",
            "data": cell["data"],
            "model": group.train.get("model") or model_of(name_of(cell["data"])),
            **cell,
            "size": None if is_whole or size == cell["budget"] else size,
            "seeds": len(part),
            "labels": labels if labels != chosen else None,
            "labels_seen": int(part["labels_seen"].max()),
            "learnt_nothing": int(part["learnt_nothing"].sum()),
            "diverged": int(part["diverged"].sum()),
            "metrics": numbers,
            "beside": _beside(group, key, gains) if cell["selector"] in group.ours else None,
        }


def _pairs(ours: pd.DataFrame, theirs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return each cell beside each rival, seed by seed, with the `gain` over it.

    Where theirs are not of the same orders of the stream, whatever theirs is.
    """
    on = [*PLACE, "seed"]
    if not set(ours["order"]) <= set(theirs["order"]):
        on.remove("order")
    rivals = theirs[[*on, "selector", metric]].rename(columns={"selector": "rival"})
    found = ours[[*CELL, "seed", metric]].merge(rivals, on=on, suffixes=("", " of rival"))
    return found.assign(gain=found[metric] - found[f"{metric} of rival"]).dropna(subset="gain")


def _beside(
    group: Group, cell: tuple[object, ...], gains: Mapping[str, Mapping[Any, Difference]]
) -> Record:
    """Return by metric and rival where a cell of ours is above or below, by more than an error.

    Rivals are the selectors of others; by metrics but the group's first, the baseline alone. One
    seed is no comparison.
    """
    found: Record = {}
    for metric in (m for m in group.metrics if METRICS[m].is_score and METRICS[m].is_outcome):
        for rival in group.selectors:
            gain = gains.get(metric, {}).get((*cell, rival.label))
            is_compared = rival.label == group.baseline or metric == group.metrics[0]
            if rival.name in OWN or gain is None or not is_compared:
                continue
            if gain.seeds > 1 and abs(gain.mean) > gain.error:
                told = _rounded({"difference": gain.mean, "error": gain.error})
                found.setdefault(metric, {})[rival.label] = told
    return found


def _fidelities(group: Group, frame: pd.DataFrame) -> Iterator[Record]:
    """Yield the fidelity of those that have every budget, each of them a share of the data.

    They are shares of what a model has of all samples: none where one has learnt nothing.
    """
    shares = {budget: share_of(budget) for budget in group.budgets}
    whole = frame[frame["selector"] == ALL_SAMPLES]
    for (data, recipe, selector), part in frame.groupby(["data", "recipe", "selector"], sort=False):
        base = recipe.partition("+")[0]
        full = whole[(whole["data"] == data) & (whole["recipe"] == base)]
        means = part.groupby("budget")["accuracy"].mean()
        if full.empty or full["learnt_nothing"].any() or set(means.index) != set(shares):
            continue
        if accuracies := {s: means[budget] for budget, s in shares.items() if s is not None}:
            score = integrated_fidelity(accuracies, full["accuracy"].mean())
            told = {"data": data, "recipe": recipe, "selector": selector}
            yield {"kind": "fidelity", **told, "score": round(score, 2)}


def _floor(floor: Floor, plan: Plan, frames: Mapping[str, pd.DataFrame]) -> Iterator[Record]:
    """Yield how far each selector of a floor reaches."""
    group, ours = plan.group(floor.group), frames[floor.group]
    theirs = frames[floor.against_group or floor.group]
    wanted = {
        "data": floor.data or group.data,
        "order": [order or AT_ONCE for order in group.orders],
        "recipe": floor.recipes or group.recipes,
        "budget": floor.budgets or group.budgets,
    }
    num_cells = math.prod(map(len, wanted.values()))
    if floor.metric not in ours or floor.metric not in theirs:
        return
    for column, values in wanted.items():
        ours = ours[ours[column].isin(values)]
    pairs = _pairs(ours, theirs[theirs["selector"] == floor.against], floor.metric)
    for selector in floor.selectors:
        judged = _judged(floor, pairs[pairs["selector"] == selector], num_cells)
        if judged is not None:
            gain, where = judged
            yield {
                "kind": "floor",
                "text": floor.text,
                "selector": selector,
                "against": floor.against,
                "metric": floor.metric,
                "asked": floor.at_least,
                **_rounded({"reached": gain.mean, "error": gain.error}),
                "seeds": gain.seeds,
                "verdict": gain.verdict(floor.at_least),
                **where,
            }


def _judged(floor: Floor, pairs: pd.DataFrame, num_cells: int) -> tuple[Difference, Record] | None:
    """Return the difference that decides: of the worst cell, or over seeds that have all cells."""
    if floor.is_everywhere:
        found = {key: Difference.of(part) for key, part in pairs.groupby(PLACE, sort=False)["gain"]}
        if not found:
            return None
        # What its error alone meets is worse than what is met, however far that reaches.
        asked = floor.at_least
        worst = min(found, key=lambda k: (found[k].mean >= asked, found[k].mean + found[k].error))
        where = {"cells": num_cells, "measured": len(found)}
        return found[worst], where | {"worst": dict(zip(PLACE, worst, strict=True))}
    by_seed = pairs.groupby("seed")["gain"].agg(["mean", "count"])
    whole = by_seed[by_seed["count"] == num_cells]["mean"]
    return None if whole.empty else (Difference.of(whole), {})


def _ranks(ranking: Ranking, plan: Plan, frames: Mapping[str, pd.DataFrame]) -> Iterator[Record]:
    """Yield the mean rank of each selector, in the cells that have all seeds of all of them."""
    groups = [plan.group(name) for name in ranking.groups]
    every = pd.concat([frames[group.name] for group in groups])
    seen = set(every[every["labels_seen"] > 0]["selector"]) if "labels_seen" in every else set()
    common = [choice.label for choice in ranking.choices(plan)]
    labels = [label for label in common if label not in seen]
    placed, gains, planned = [], [], 0
    for group in groups:
        metric = next((m for m in group.metrics if METRICS[m].is_score), "accuracy")
        planned += len(group.data) * len(group.orders) * len(group.budgets)
        for _, part in frames[group.name].groupby(PLACE, sort=False):
            wide = part.pivot_table(values=metric, index="seed", columns="selector")
            if set(labels) <= set(wide) and wide.reindex(group.seeds)[labels].notna().all(
                axis=None
            ):
                placed.append(wide[labels].mean().rank(ascending=False))
                others = [label for label in labels if label != group.baseline]
                base = wide[group.baseline]
                gains.append({label: Difference.of(wide[label] - base) for label in others})
    if not placed:
        return
    means = pd.concat(placed, axis=1).mean(axis=1)
    told = {"ranking": ranking.name, "cells": len(placed), "planned": planned}
    for label in means.sort_values(kind="stable").index:
        numbers = {"mean_rank": means[label]}
        if worst := min((each[label] for each in gains if label in each), default=None):
            numbers |= {"worst_gain": worst.mean, "worst_gain_error": worst.error}
        yield told | {"selector": label} | _rounded(numbers)
    yield from (told | {"selector": label} for label in common if label in seen)


def _rounded(values: Mapping[str, float]) -> Record:
    """Return numbers with the digits that are told, those of no seeds left out."""
    return {name: round(float(v), DIGITS) for name, v in values.items() if not math.isnan(v)}


def _known(record: Record) -> Record:
    """Return a record without what is 0 or not known, but for what was asked and reached."""
    kept = ("asked", "reached")
    return {name: value for name, value in record.items() if name in kept or value}
