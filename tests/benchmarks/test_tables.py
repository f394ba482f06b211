"""Tables and verdicts say what the lines say."""

from dataclasses import replace

import pytest

from benchmarks.evaluation.contests import by_pair, wins_and_losses
from benchmarks.evaluation.floor_table import floor_rows
from benchmarks.evaluation.floors import Floor
from benchmarks.evaluation.ifs import integrated_fidelity
from benchmarks.evaluation.metrics import METRICS
from benchmarks.evaluation.plan import Choice, Group, Plan
from benchmarks.evaluation.tables import group_tables
from benchmarks.evaluation.trial import Trial
from benchmarks.evaluation.verdicts import verdict
from echo_stream.errors import ConfigError
from tests.benchmarks.made_lines import lines

GROUP = Group(
    name="images",
    title="Images",
    data=("mnist",),
    budgets=(60, "1%"),
    selectors=(Choice("random", "random"), Choice("ours", "echo"), Choice("other", "herding")),
    recipes=("ce",),
    seeds=(0, 1, 2),
    ours=("ours",),
)
FLOOR = Floor("two points above", "images", "ours", "random", 2.0)
PLAN = Plan("Tests", (GROUP,), (FLOOR,))

GAINS = {"random": 0.0, "echo": 0.03, "herding": -0.02}


def steady(trial: Trial) -> float:
    """Return accuracies that differ by selector, budget and seed, without noise."""
    return 0.5 + GAINS[trial.selector] + 0.1 * (trial.budget != 60) + 0.01 * trial.seed


def test_a_table_has_means_deviations_and_paired_differences() -> None:
    """The best of a column is bold; ranks are means over budgets."""
    (table,) = group_tables(GROUP, lines(PLAN, steady))
    assert table.splitlines() == [
        "| mnist: accuracy after the last step, % | 60 | 1 % (60) | mean rank |",
        "| --- | ---: | ---: | ---: |",
        "| random | 51.0 ± 1.0 | 61.0 ± 1.0 | 2.0 |",
        "| ours | **54.0 ± 1.0** (+3.0 ± 0.0) | **64.0 ± 1.0** (+3.0 ± 0.0) | 1.0 |",
        "| other | 49.0 ± 1.0 (-2.0 ± 0.0) | 59.0 ± 1.0 (-2.0 ± 0.0) | 3.0 |",
    ]


def test_what_is_missing_is_shown_as_missing() -> None:
    """A cell without lines, seeds that are not all there, and failures."""
    found = lines(PLAN, lambda t: None if t.selector == "herding" and t.seed else steady(t))
    key = GROUP.trial("mnist", "1%", GROUP.choice("ours"), "ce", 2, None).key
    found[key] |= {"error": "oh"}
    (table,) = group_tables(GROUP, found)
    assert "| ours [2-3 seeds] | **54.0 ± 1.0** (+3.0 ± 0.0) | **63.5 ± 0.7**" in table
    assert "| other [1 seed] | 48.0 (-2.0) | 58.0 (-2.0) |" in table
    assert group_tables(GROUP, {}) == []
    none = {key: value for key, value in found.items() if value["trial"]["budget"] == 60}
    assert group_tables(GROUP, none)[0].count("–") == 3


def test_trainings_that_came_to_nothing_are_named() -> None:
    """Those that diverged, and those that are right no more often than chance."""
    found = lines(PLAN, lambda t: 0.1 if t.selector == "echo" and t.seed == 1 else steady(t))
    key = GROUP.trial("mnist", 60, GROUP.choice("random"), "ce", 0, None).key
    found[key] |= {"diverged": True}
    _, diverged, stuck = group_tables(GROUP, found)
    assert diverged == "Trainings that diverged: random, ce, 60: 1.\n"
    assert stuck == "Trainings that learnt nothing: ours, ce, 60: 1; ours, ce, 1 %: 1.\n"


def test_a_model_that_knows_a_rare_class_has_learnt_something() -> None:
    """Though it is right no more often than one that always says the other."""
    found = lines(PLAN, steady)
    for each in found.values():
        each |= {"chance": 0.99, "worst_accuracy": 0.75}
    assert len(group_tables(GROUP, found)) == 1
    for each in found.values():
        each["worst_accuracy"] = 0.0
    assert "learnt nothing" in group_tables(GROUP, found)[1]


def test_selectors_that_looked_at_labels_are_marked() -> None:
    """With how many they looked at, which no budget counts."""
    found = lines(PLAN, steady)
    for value in found.values():
        if value["trial"]["selector"] == "herding":
            value["info"] = {"labels_seen": 60_000}
    assert "| other (chooses by 60,000 labels) |" in group_tables(GROUP, found)[0]


def test_who_needs_fewer_labels_than_others_is_told_apart() -> None:
    """Under P1 all have as many; a memory that ends with places left has not."""
    found = lines(PLAN, steady)
    assert "labels" not in group_tables(GROUP, found)[0]
    for value in found.values():
        value["labels"] = 40 if value["trial"]["selector"] == "herding" else 60
    table = group_tables(GROUP, found)[0]
    assert "| mean rank | labels |" in table
    assert table.count("| 40 / 40 |") == 1
    assert table.count("| – |") == 2


def test_labels_stand_beside_what_is_counted_as_the_paper_does() -> None:
    """Under P2, for each budget."""
    group = replace(GROUP, protocol="P2")
    plan = replace(PLAN, groups=(group,))
    found = lines(plan, steady)
    for value in found.values():
        value["labels"] = 445 if value["trial"]["budget"] == 60 else 1_200
    table = group_tables(group, found)[0]
    assert "mean rank | labels |" in table
    assert "| 445 / 1,200 |" in table


def test_fidelity_needs_all_budgets_and_the_full_set() -> None:
    """It is that of the mean accuracies."""
    group = replace(GROUP, budgets=("1%", "10%"), with_full=True)
    plan = replace(PLAN, groups=(group,))
    score = {"1%": 0.5, "10%": 0.7, "100%": 0.8}
    found = lines(plan, lambda trial: score[str(trial.budget)])
    table = group_tables(group, found)[0]
    expected = integrated_fidelity({0.01: 0.5, 0.1: 0.7}, 0.8)
    assert f"| 2.0 | {expected:.2f} |" in table
    assert "all samples, ce: 80.0 ± 0.0" in table
    assert "| 0.7" not in group_tables(GROUP, lines(PLAN, steady))[0]


def test_fidelity_is_no_share_of_a_model_that_has_learnt_nothing() -> None:
    """One lost training on all samples makes the mean of them too low to divide by."""
    group = replace(GROUP, budgets=("1%", "10%"), with_full=True)
    found = lines(replace(PLAN, groups=(group,)), lambda t: 0.7 - 0.1 * (t.budget == "1%"))
    key = group.full_trial("mnist", "ce", 1).key
    found[key] |= {"accuracy": 0.1, "worst_accuracy": 0.0, "chance": 0.1}
    table, remark = group_tables(group, found)
    assert "IFS" not in table
    assert "all samples, ce: 50.0 ± 34.6" in table
    assert remark == "Trainings that learnt nothing: all samples, ce: 1.\n"


def test_several_recipes_are_rows_compared_within_themselves() -> None:
    """The difference is to the baseline with the same recipe."""
    group = replace(GROUP, recipes=("ce", "structural"))
    found = lines(replace(PLAN, groups=(group,)), lambda t: steady(t) + 0.2 * (t.recipe != "ce"))
    table = group_tables(group, found)[0]
    assert "| ours, ce | **54.0 ± 1.0** (+3.0 ± 0.0) |" in table
    assert "| ours, structural | **74.0 ± 1.0** (+3.0 ± 0.0) |" in table


def test_what_a_selection_is_worth_stands_beside_itself_in_other_orders() -> None:
    """One table for all orders, with what is lost, seed by seed, to the first of them."""
    orders, metrics = ("shuffled", "sorted"), ("accuracy", "explained")
    group = replace(GROUP, budgets=(60,), orders=orders, metrics=metrics)
    found = lines(replace(PLAN, groups=(group,)), steady)
    for value in found.values():
        is_sorted = value["trial"]["order"] == "sorted"
        value["explained"] = 0.6 - 0.2 * is_sorted + 0.01 * value["trial"]["seed"]
    shuffled, in_order, table = group_tables(group, found)
    assert "accuracy" in shuffled
    assert "accuracy" in in_order
    assert table.splitlines() == [
        f"| mnist: {METRICS['explained'].words} | 60, shuffled | 60, sorted |",
        "| --- | ---: | ---: |",
        "| random | 61.0 ± 1.0 | 41.0 ± 1.0 (-20.0 ± 0.0) |",
        "| ours | 61.0 ± 1.0 | 41.0 ± 1.0 (-20.0 ± 0.0) |",
        "| other | 61.0 ± 1.0 | 41.0 ± 1.0 (-20.0 ± 0.0) |",
    ]
    assert group_tables(group, {}) == []


@pytest.mark.parametrize(
    ("at_least", "word"),
    [(2.0, "met"), (2.1, "met by its error"), (2.5, "met by its error"), (2.6, "**missed**")],
)
def test_a_floor_is_met_when_mean_and_error_reach_it(at_least: float, word: str) -> None:
    """The difference is averaged over cells, then over seeds: 1, 2 and 3 points are 2 ± 0.58."""
    found = lines(PLAN, lambda t: steady(t) + 0.01 * (t.seed - 2) * (t.selector == "echo"))
    plan = replace(PLAN, floors=(replace(FLOOR, at_least=at_least),))
    judged = verdict(plan.floors[0], plan, found)
    assert judged.found is not None
    assert judged.found.mean == pytest.approx(2)
    assert judged.found.spread == pytest.approx(1 / 3**0.5)
    (row,) = floor_rows(plan, GROUP, found, before="", anew={"images"})
    assert row.endswith(f"| 3 | {word}, of fewer seeds than 10 |")


def test_a_floor_may_have_to_be_met_everywhere() -> None:
    """The worst cell decides."""
    found = lines(PLAN, lambda t: steady(t) - 0.04 * (t.budget == 60 and t.selector == "echo"))
    assert verdict(FLOOR, PLAN, found).found is not None
    judged = verdict(replace(FLOOR, is_everywhere=True, at_least=-0.5), PLAN, found)
    assert judged.found is not None
    assert judged.found.mean == pytest.approx(-1)
    assert judged.where == "mnist, 60, ce; 2 of 2 cells measured"
    assert judged.found.judged(-0.5) == "**missed**"


def test_a_cell_that_its_error_meets_decides_before_one_that_is_met() -> None:
    """3 ± 0 points reach less far than 2 ± 1.7, but are more than what is asked."""
    found = lines(
        PLAN,
        lambda t: (
            steady(t) + (0.03 * (t.seed - 1) - 0.01) * (t.selector == "echo" and t.budget == 60)
        ),
    )
    judged = verdict(replace(FLOOR, is_everywhere=True, at_least=2.5), PLAN, found)
    assert judged.found is not None
    assert judged.where.startswith("mnist, 60, ce")
    assert judged.found.judged(2.5) == "met by its error"


@pytest.mark.parametrize(
    ("at_least", "word"),
    [
        (2.0, "met so far"),
        (4.0, "**missed**, of fewer seeds than 10"),
        (-9.0, "met so far"),
    ],
)
def test_a_floor_everywhere_is_met_when_every_cell_is_measured(at_least: float, word: str) -> None:
    """One cell that misses it is enough."""
    plan = replace(PLAN, floors=(replace(FLOOR, is_everywhere=True, at_least=at_least),))
    found = lines(plan, lambda trial: steady(trial) if trial.budget == 60 else None)
    (row,) = floor_rows(plan, GROUP, found, before="", anew={"images"})
    assert "1 of 2 cells measured" in row
    assert row.endswith(f"| {word} |")


def test_a_floor_everywhere_is_missed_by_any_cell_that_is_whole() -> None:
    """One that is worse may have seeds to come."""
    plan = replace(PLAN, floors=(replace(FLOOR, is_everywhere=True, at_least=4.0),))

    def share_right(trial: Trial) -> float | None:
        if trial.budget == 60:
            return steady(trial)
        return None if trial.seed == 0 else steady(trial) - 0.1 * (trial.selector == "echo")

    found = lines(plan, share_right)
    (row,) = floor_rows(plan, GROUP, found, before="", anew={"images"})
    assert row.endswith("| 2 | **missed**, of fewer seeds than 10 |")


def test_ten_seeds_are_enough() -> None:
    """Fewer are said to be fewer."""
    group = replace(GROUP, seeds=tuple(range(10)))
    plan = replace(PLAN, groups=(group,), floors=(FLOOR,))
    (row,) = floor_rows(plan, group, lines(plan, steady), before="", anew={"images"})
    assert row.endswith("| 10 | met |")


def test_a_floor_may_be_of_some_recipes() -> None:
    """Others do not count."""
    group = replace(GROUP, recipes=("ce", "structural"))
    plan = replace(PLAN, groups=(group,))
    found = lines(plan, lambda t: steady(t) - 0.2 * (t.recipe != "ce" and t.selector == "echo"))
    judged = verdict(replace(FLOOR, recipes=("ce",)), plan, found)
    assert judged.found is not None
    assert judged.found.mean == pytest.approx(3)
    with pytest.raises(ConfigError, match="group images has no 'mix'"):
        replace(FLOOR, recipes=("mix",)).check(plan)


def test_missed_floors_stand_out() -> None:
    """And what has not been measured, or not with all seeds, is said to be so."""
    part = lines(PLAN, lambda trial: steady(trial) if trial.seed < 2 else None)
    high = replace(PLAN, floors=(replace(FLOOR, at_least=9.0),))
    for plan, found, end in (
        (PLAN, lines(PLAN, steady), "| +2 | +3.00 ± 0.00 | 3 | met, of fewer seeds than 10 |"),
        (
            high,
            lines(PLAN, steady),
            "| +9 | +3.00 ± 0.00 | 3 | **missed**, of fewer seeds than 10 |",
        ),
        (PLAN, {}, "| +2 | – | – | not measured |"),
        (PLAN, part, "| +2 | +3.00 ± 0.00 | 2 | met so far |"),
    ):
        rows = floor_rows(plan, GROUP, found, before="", anew={"images"})
        assert rows == [f"| two points above {end}"]


def test_wins_and_losses_are_against_the_baseline_and_the_best() -> None:
    """By more than an error; one seed is neither."""
    wins, losses = wins_and_losses(GROUP, lines(PLAN, steady))
    assert (len(wins), losses) == (2, [])
    assert by_pair(wins) == [
        "ours against random: mnist at 60, ce: +3.00 ± 0.00; mnist at 1 %, ce: +3.00 ± 0.00"
    ]
    found = lines(PLAN, lambda t: steady(t) + 0.2 * (t.selector == "herding"))
    wins, losses = wins_and_losses(GROUP, found)
    assert (wins[0].pair, wins[0].text) == ("ours against random", "mnist at 60, ce: +3.00 ± 0.00")
    assert losses[0].text == "mnist at 60, ce: -15.00 ± 0.00"
    single = lines(PLAN, lambda trial: steady(trial) if trial.seed == 0 else None)
    assert wins_and_losses(GROUP, single) == ([], [])


def test_a_rival_that_looks_at_labels_hides_none_that_does_not() -> None:
    """Ours can be below the best of all, and above the best of those that know as much."""
    blind = (Choice("blind", "k-center"), Choice("worse", "k-medoids"))
    group = replace(GROUP, selectors=(*GROUP.selectors, *blind))
    gains = {"herding": 0.2, "k-center": 0.1, "k-medoids": 0.05, "echo": 0.15}

    def share_right(trial: Trial) -> float:
        return steady(replace(trial, selector="random")) + gains.get(trial.selector, 0.0)

    found = lines(replace(PLAN, groups=(group,)), share_right)
    for line in found.values():
        line["info"] = {"labels_seen": 60_000 * (line["trial"]["selector"] == "herding")}
    wins, losses = wins_and_losses(group, found)
    assert by_pair(losses[:1]) == ["ours against other: mnist at 60, ce: -5.00 ± 0.00"]
    assert by_pair(wins[:2]) == [
        "ours against random: mnist at 60, ce: +15.00 ± 0.00",
        "ours against blind: mnist at 60, ce: +5.00 ± 0.00",
    ]
    assert "ours against worse" not in {win.pair for win in wins}


def test_each_rival_can_win_and_other_metrics_are_beside_the_baseline() -> None:
    """No rival hides another, and no mean a class that is lost; a peek is no win."""
    metrics = ("accuracy", "worst_accuracy", "best_accuracy", "explained", "retained_share")
    other = Choice("third", "k-center")
    group = replace(GROUP, metrics=metrics, selectors=(*GROUP.selectors, other), budgets=(60,))
    gains = {"herding": 0.2, "k-center": 0.1, "echo": 0.05}

    def share_right(trial: Trial) -> float:
        return 0.5 + gains.get(trial.selector, 0.0) + 0.01 * trial.seed

    found = lines(replace(PLAN, groups=(group,)), share_right)
    for line in found.values():
        is_ours = line["trial"]["selector"] == "echo"
        line.update(dict.fromkeys(metrics[1:], 0.3 - 0.1 * is_ours))
    wins, losses = wins_and_losses(group, found)
    assert by_pair(wins) == ["ours against random: mnist at 60, ce: +5.00 ± 0.00"]
    assert by_pair(losses) == [
        "ours against other: mnist at 60, ce: -15.00 ± 0.00",
        "ours against third: mnist at 60, ce: -5.00 ± 0.00",
        "ours against random: mnist at 60, ce, accuracy of the worst class: -10.00 ± 0.00",
    ]


@pytest.mark.parametrize("name", ["echo", "echo-paper", "echo-quotas"])
def test_variants_of_ours_are_no_rivals(name: str) -> None:
    """The best of the others is compared, though a variant is better; alone, there is none."""
    variant = Choice("ours, split", name, {"balance": "class"})
    group = replace(GROUP, selectors=(*GROUP.selectors, variant))

    def share_right(trial: Trial) -> float:
        gain = 0.3 * bool(trial.options) + 0.2 * (trial.selector == "herding")
        return steady(replace(trial, selector="random")) + gain

    _, losses = wins_and_losses(group, lines(replace(PLAN, groups=(group,)), share_right))
    assert by_pair(losses[:1]) == ["ours against other: mnist at 60, ce: -20.00 ± 0.00"]
    assert not any("split" in loss.pair for loss in losses)
    alone = replace(GROUP, baseline="ours", selectors=(GROUP.choice("ours"), variant))
    found = lines(replace(PLAN, groups=(alone,)), share_right)
    assert wins_and_losses(alone, found) == ([], [])
