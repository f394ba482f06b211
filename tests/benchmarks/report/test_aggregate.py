"""Records say what the lines of trials say."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchmarks.evaluation.plan import Choice, Floor, Group, Plan, Ranking
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.trial import Trial
from benchmarks.report.aggregate import integrated_fidelity, plan_records
from benchmarks.report.records import Record, read_records
from benchmarks.report.writing import RECORDS
from tests.support.benchmarks.made_lines import lines

GROUP = Group(
    name="images",
    title="Images",
    data=("mnist",),
    budgets=(60, "1%"),
    selectors=(Choice("random", "random"), Choice("ours", "echo"), Choice("other", "herding")),
    recipes=("ce",),
    seeds=(0, 1, 2),
    baseline="random",
    ours=("ours",),
)
FLOOR = Floor("two points above", "images", ("ours",), "random", 2.0)
PLAN = Plan("Tests", (GROUP,), (FLOOR,))

GAINS = {"random": 0.0, "echo": 0.03, "herding": -0.02}


def steady(trial: Trial) -> float:
    """Return accuracies that differ by selector, budget and seed, without noise."""
    return 0.5 + GAINS[trial.selector] + 0.1 * (trial.budget != 60) + 0.01 * trial.seed


def of_kind(kind: str, plan: Plan, found: Mapping[str, Line]) -> list[Record]:
    """Return the records of a kind that lines come to."""
    return [record for record in plan_records("tests", plan, found) if record["kind"] == kind]


def cells(group: Group, found: Mapping[str, Line]) -> dict[tuple[str, object], Record]:
    """Return the cells of a group by selector and budget."""
    records = of_kind("cell", replace(PLAN, groups=(group,), floors=()), found)
    return {(record["selector"], record["budget"]): record for record in records}


def floors(plan: Plan, found: Mapping[str, Line]) -> list[tuple[object, ...]]:
    """Return what was reached of floors, by how many seeds."""
    return [
        (r["reached"], r.get("error", 0.0), r["verdict"], r["seeds"])
        for r in of_kind("floor", plan, found)
    ]


def test_a_cell_has_mean_deviation_and_paired_difference() -> None:
    """Gains are over the baseline, which has none; what is nothing is left out."""
    found = cells(GROUP, lines(PLAN, steady))
    assert len(found) == 6
    assert found["ours", "1%"] == {
        "kind": "cell", "plan": "tests", "group": "images", "data": "mnist", "model": "lenet",
        "order": "at once", "recipe": "ce", "budget": "1%", "selector": "ours", "size": 60,
        "seeds": 3,
        "metrics": {
            "accuracy": {"mean": 64.0, "sd": 1.0, "gain": 3.0, "gain_error": 0.0},
            "worst_accuracy": {"mean": 0.0, "sd": 0.0, "gain": 0.0, "gain_error": 0.0},
        },
        "beside": {
            "accuracy": {
                "random": {"difference": 3.0, "error": 0.0},
                "other": {"difference": 5.0, "error": 0.0},
            }
        },
    }  # fmt: skip
    assert found["random", 60]["metrics"]["accuracy"] == {"mean": 51.0, "sd": 1.0}


def test_what_failed_is_no_seed() -> None:
    """A cell without a line is none."""
    found = lines(PLAN, lambda t: None if t.selector == "herding" and t.seed else steady(t))
    key = GROUP.trial("mnist", "1%", GROUP.choice("ours"), "ce", 2, None).key
    found[key] |= {"error": "oh dear"}
    known = cells(GROUP, found)
    assert [known[s, "1%"]["seeds"] for s in ("random", "ours", "other")] == [3, 2, 1]
    assert known["other", "1%"]["metrics"]["accuracy"] == {
        "mean": 58.0, "gain": -2.0, "gain_error": 0.0
    }  # fmt: skip
    (run,) = of_kind("run", PLAN, found)
    assert (run["trials"], run["planned"], run["failed"]) == (13, 18, 1)
    assert run["error"] == "oh dear"
    assert plan_records("tests", PLAN, {}) == []


def test_trainings_that_came_to_nothing_are_counted() -> None:
    """Those that diverged, and those that are right no more often than chance."""
    found = lines(PLAN, lambda t: 0.1 if t.selector == "echo" and t.seed == 1 else steady(t))
    key = GROUP.trial("mnist", 60, GROUP.choice("random"), "ce", 0, None).key
    found[key] |= {"diverged": True}
    known = cells(GROUP, found)
    assert known["ours", 60]["learnt_nothing"] == 1
    assert known["random", 60]["diverged"] == 1
    assert "learnt_nothing" not in known["random", 60]


def test_a_model_that_knows_a_rare_class_has_learnt_something() -> None:
    """Though it is right no more often than one that always says the other."""
    found = lines(PLAN, steady)
    for each in found.values():
        each |= {"chance": 0.99, "worst_accuracy": 0.75}
    assert not any("learnt_nothing" in cell for cell in cells(GROUP, found).values())
    for each in found.values():
        each["worst_accuracy"] = 0.0
    assert all(cell["learnt_nothing"] == 3 for cell in cells(GROUP, found).values())


def test_labels_are_told_where_they_are_not_the_budget() -> None:
    """Those that were looked at in choosing, too."""
    found = lines(PLAN, steady)
    assert not any("labels" in cell for cell in cells(GROUP, found).values())
    for value in found.values():
        if value["trial"]["selector"] == "herding":
            value |= {"labels": 40, "info": {"labels_seen": 60_000}}
    known = cells(GROUP, found)["other", 60]
    assert (known["labels"], known["labels_seen"]) == (40, 60_000)


def test_all_scores_of_the_paper_come_out() -> None:
    """From its own accuracies, to the digits that it prints."""
    rows = [record for record in read_records(RECORDS) if record["kind"] == "quoted"]
    assert len(rows) == 19
    for row in rows:
        shares = [float(budget.removesuffix("%")) / 100 for budget in row["budgets"]]
        accuracies = dict(zip(shares, row["mean"], strict=True))
        assert round(integrated_fidelity(accuracies, row["full"]), 2) == row["ifs"], row["method"]


def test_fidelity_needs_all_budgets_and_the_full_set() -> None:
    """It is that of the mean accuracies."""
    group = replace(GROUP, budgets=("1%", "10%"), with_full=True)
    plan = replace(PLAN, groups=(group,), floors=())
    score = {"1%": 0.5, "10%": 0.7, "100%": 0.8}
    found = lines(plan, lambda trial: score[str(trial.budget)])
    expected = round(integrated_fidelity({0.01: 0.5, 0.1: 0.7}, 0.8), 2)
    assert [r["score"] for r in of_kind("fidelity", plan, found)] == [expected] * 3
    full = cells(group, found)["all samples", "100%"]
    assert full["metrics"]["accuracy"] == {"mean": 80.0, "sd": 0.0}
    assert of_kind("fidelity", PLAN, lines(PLAN, steady)) == []


def test_fidelity_is_no_share_of_a_model_that_has_learnt_nothing() -> None:
    """One lost training on all samples makes the mean of them too low to divide by."""
    group = replace(GROUP, budgets=("1%", "10%"), with_full=True)
    plan = replace(PLAN, groups=(group,), floors=())
    found = lines(plan, lambda t: 0.7 - 0.1 * (t.budget == "1%"))
    found[group.full_trial("mnist", "ce", 1).key] |= {"accuracy": 0.1}
    assert of_kind("fidelity", plan, found) == []
    assert cells(group, found)["all samples", "100%"]["learnt_nothing"] == 1


def test_several_recipes_are_compared_within_themselves() -> None:
    """The difference is to the baseline with the same recipe."""
    group = replace(GROUP, recipes=("ce", "structural"), budgets=(60,))
    plan = replace(PLAN, groups=(group,), floors=())
    found = lines(plan, lambda t: steady(t) + 0.2 * (t.recipe != "ce"))
    ours = [
        r["metrics"]["accuracy"] for r in of_kind("cell", plan, found) if r["selector"] == "ours"
    ]
    assert [(score["mean"], score["gain"]) for score in ours] == [(54.0, 3.0), (74.0, 3.0)]


@pytest.mark.parametrize(
    ("at_least", "word"),
    [(2.0, "met"), (2.1, "met by its error"), (2.5, "met by its error"), (2.6, "missed")],
)
def test_a_floor_is_met_when_mean_and_error_reach_it(at_least: float, word: str) -> None:
    """The difference is averaged over cells, then over seeds: 1, 2 and 3 points are 2 ± 0.58."""
    found = lines(PLAN, lambda t: steady(t) + 0.01 * (t.seed - 2) * (t.selector == "echo"))
    plan = replace(PLAN, floors=(replace(FLOOR, at_least=at_least),))
    assert floors(plan, found) == [(2.0, 0.5774, word, 3)]


def test_each_selector_of_a_floor_has_to_reach_it() -> None:
    """With a record of its own."""
    plan = replace(PLAN, floors=(replace(FLOOR, selectors=("ours", "other")),))
    found = of_kind("floor", plan, lines(plan, steady))
    assert [(r["selector"], r["reached"], r["verdict"]) for r in found] == [
        ("ours", 3.0, "met"),
        ("other", -2.0, "missed"),
    ]


def test_a_floor_may_have_to_be_met_everywhere() -> None:
    """The worst cell decides."""
    found = lines(PLAN, lambda t: steady(t) - 0.04 * (t.budget == 60 and t.selector == "echo"))
    plan = replace(PLAN, floors=(replace(FLOOR, is_everywhere=True, at_least=-0.5),))
    (record,) = of_kind("floor", plan, found)
    assert (record["reached"], record["verdict"]) == (-1.0, "missed")
    assert (record["measured"], record["cells"]) == (2, 2)
    assert record["worst"] == {"data": "mnist", "order": "at once", "recipe": "ce", "budget": 60}


def test_a_cell_that_its_error_meets_decides_before_one_that_is_met() -> None:
    """3 ± 0 points reach less far than 2 ± 1.7, but are more than what is asked."""
    found = lines(
        PLAN,
        lambda t: (
            steady(t) + (0.03 * (t.seed - 1) - 0.01) * (t.selector == "echo" and t.budget == 60)
        ),
    )
    plan = replace(PLAN, floors=(replace(FLOOR, is_everywhere=True, at_least=2.5),))
    (record,) = of_kind("floor", plan, found)
    assert record["worst"]["budget"] == 60
    assert record["verdict"] == "met by its error"


def test_cells_that_are_not_measured_decide_nothing() -> None:
    """A floor everywhere says how many are; one on average needs seeds that have all of them."""
    plan = replace(PLAN, floors=(replace(FLOOR, is_everywhere=True),))
    found = lines(plan, lambda trial: steady(trial) if trial.budget == 60 else None)
    (record,) = of_kind("floor", plan, found)
    assert (record["measured"], record["cells"]) == (1, 2)
    assert floors(PLAN, found) == []
    part = lines(PLAN, lambda t: steady(t) if t.seed or t.budget == 60 else None)
    assert floors(PLAN, part) == [(3.0, 0.0, "met", 2)]
    assert floors(PLAN, lines(PLAN, lambda t: steady(t) if t.selector == "random" else None)) == []


def test_a_floor_may_be_of_some_recipes() -> None:
    """Others do not count."""
    group = replace(GROUP, recipes=("ce", "structural"))
    plan = replace(PLAN, groups=(group,), floors=(replace(FLOOR, recipes=("ce",)),))
    found = lines(plan, lambda t: steady(t) - 0.2 * (t.recipe != "ce" and t.selector == "echo"))
    assert floors(plan, found) == [(3.0, 0.0, "met", 3)]


def test_a_floor_may_be_against_another_group() -> None:
    """Whose order of the stream may be another."""
    streamed = replace(GROUP, name="streams", orders=("shuffled",), budgets=(60,))
    floor = Floor("no worse", "streams", ("ours",), "other", 0.0, against_group="images")
    plan = Plan("Tests", (GROUP, streamed), (floor,))
    assert floors(plan, lines(plan, steady)) == [(5.0, 0.0, "met", 3)]
    alone = lines(plan, lambda t: steady(t) if t.order else None)
    assert floors(plan, alone) == []


def beside(group: Group, found: Mapping[str, Line], metric: str = "accuracy") -> dict[str, float]:
    """Return the differences of ours that are told, by rival, with 60 labels."""
    told = cells(group, found)["ours", 60].get("beside", {}).get(metric, {})
    return {rival: gain["difference"] for rival, gain in told.items()}


def test_ours_is_told_beside_others_by_more_than_an_error() -> None:
    """Above or below; one seed is neither."""
    assert beside(GROUP, lines(PLAN, steady)) == {"random": 3.0, "other": 5.0}
    found = lines(PLAN, lambda t: steady(t) + 0.2 * (t.selector == "herding"))
    assert beside(GROUP, found) == {"random": 3.0, "other": -15.0}
    single = lines(PLAN, lambda trial: steady(trial) if trial.seed == 0 else None)
    assert beside(GROUP, single) == {}
    noisy = lines(PLAN, lambda t: steady(t) + 0.18 * (t.seed - 1) * (t.selector == "echo"))
    assert beside(GROUP, noisy) == {}


def test_other_metrics_are_beside_the_baseline_alone() -> None:
    """A peek at the test set is no win, nor is what a selection is worth in itself."""
    metrics = ("accuracy", "worst_accuracy", "best_accuracy", "explained", "held_share")
    group = replace(GROUP, metrics=metrics)
    found = lines(replace(PLAN, groups=(group,)), steady)
    for line in found.values():
        is_ours = line["trial"]["selector"] == "echo"
        line.update(dict.fromkeys(metrics[1:], 0.3 - 0.1 * is_ours))
    assert set(cells(group, found)["ours", 60]["beside"]) == {"accuracy", "worst_accuracy"}
    assert beside(group, found, "worst_accuracy") == {"random": -10.0}


@pytest.mark.parametrize("name", ["echo", "echo-fixed", "echo-paper", "echo-quotas"])
def test_variants_of_ours_are_no_rivals(name: str) -> None:
    """Though one is better."""
    variant = Choice("ours, split", name, {"balance": "class"})
    group = replace(GROUP, selectors=(*GROUP.selectors, variant))
    found = lines(
        replace(PLAN, groups=(group,)),
        lambda t: steady(replace(t, selector="echo")) + 0.3 * bool(t.options),
    )
    assert "ours, split" not in beside(group, found)


RANKED = (
    replace(GROUP, data=("mnist",), orders=("shuffled", "sorted"), budgets=(60, 600)),
    replace(GROUP, name="tail", data=("mnist-lt",), budgets=(60,), metrics=("balanced_accuracy",)),
)
RANKING = Plan("Tests", RANKED, rankings=(Ranking("all", "All", ("images", "tail")),))


def ranked_lines() -> dict[str, Line]:
    """Return lines in one order of selectors, but for random, the best in sorted streams."""
    gains = {"echo": 0.02, "random": 0.01, "herding": 0.0}

    def share_right(trial: Trial) -> float:
        gain = 0.1 if (trial.selector, trial.order) == ("random", "sorted") else 0.0
        return 0.5 + gains[trial.selector] + gain + 0.001 * trial.seed

    found = lines(RANKING, share_right)
    for each in found.values():
        each["balanced_accuracy"] = 1 - each["accuracy"]
    return found


def ranks(found: Mapping[str, Line]) -> list[tuple[object, ...]]:
    """Return selectors with mean rank and worst cell, the best first."""
    return [
        (r["selector"], r.get("mean_rank"), r.get("worst_gain"))
        for r in of_kind("rank", RANKING, found)
    ]


def test_a_ranking_is_of_all_cells_of_its_groups() -> None:
    """By each group's own metric; the best first."""
    found = of_kind("rank", RANKING, ranked_lines())
    assert {(r["cells"], r["planned"]) for r in found} == {(5, 5)}
    assert ranks(ranked_lines()) == [
        ("random", 1.6, None), ("ours", 1.8, -9.0), ("other", 2.6, -11.0)
    ]  # fmt: skip


def test_cells_that_lack_a_trial_are_not_ranked() -> None:
    """And counted; without a whole cell there is no ranking."""
    found = ranked_lines()
    group = RANKED[0]
    trial = group.trial("mnist", 60, group.choice("ours"), "ce", 1, "sorted")
    found[trial.key] |= {"error": "oh dear"}
    assert {(r["cells"], r["planned"]) for r in of_kind("rank", RANKING, found)} == {(4, 5)}
    first = {key: each for key, each in found.items() if each["trial"]["seed"] == 0}
    assert ranks(first) == []


def test_selectors_that_choose_by_labels_are_ranked_apart() -> None:
    """They take no place."""
    found = ranked_lines()
    for each in found.values():
        if each["trial"]["selector"] == "echo":
            each["info"] = {"labels_seen": 60_000}
    assert ranks(found) == [("random", 1.2, None), ("other", 1.8, -11.0), ("ours", None, None)]
