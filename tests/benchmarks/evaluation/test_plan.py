"""Plans say which trials there are, in what order, and refuse what means nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluation.estimates import expected_seconds
from benchmarks.evaluation.orders import BURST, ORDERS, arranged
from benchmarks.evaluation.plan_files import read_plan
from benchmarks.evaluation.trial import REVISIONS, Trial, resolve_budget, resolve_options
from echo_stream.errors import ConfigError

PLANS = sorted((Path(__file__).parents[3] / "benchmarks" / "plans").glob("*.toml"))
SMALL = """
title = "small"
seeds = 2

[train]
steps = 7

[[group]]
name = "images"
title = "Images"
data = ["mnist", "fashion-mnist"]
budgets = [60, "1%"]
recipes = ["ce", "structural"]
selectors = ["random", {label = "ours", name = "echo", options = {rank = "center"}},
    {label = "random, as many", name = "random", labels_of = "ours"}]

[[group]]
name = "streams"
title = "Streams"
data = ["banking77"]
budgets = [77]
seeds = [3, 4, 5]
orders = ["shuffled", "sorted"]
selectors = ["reservoir"]
baseline = "uniform sample"
train = {steps = 9}
with_full = true
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Write a plan of two groups."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


def test_a_plan_is_all_products_of_its_lists(small: Path) -> None:
    """Each once, with the settings at the top where a group has none."""
    trials = read_plan(small).trials()
    images = [trial for trial in trials if trial.data != "banking77"]
    assert len(images) == 2 * 2 * 3 * 2 * 2
    assert all(trial.train == {"steps": 7} and trial.order is None for trial in images)
    streams = [trial for trial in trials if trial.order is not None]
    assert [(t.seed, t.order) for t in streams] == [
        (seed, order) for seed in (3, 4, 5) for order in ("shuffled", "sorted")
    ]
    assert all(trial.train == {"steps": 9} for trial in streams)
    full = [trial for trial in trials if trial.budget == "100%"]
    assert [(trial.data, trial.selector) for trial in full] == [("banking77", "random")] * 3
    assert {t.labels_of for t in images if t.labels_of is None} == {None}
    assert sum(t.labels_of == ("echo", {"rank": "center"}) for t in images) == len(images) / 3


def test_payloads_held_are_combined_with_everything_else(tmp_path: Path) -> None:
    """A number is an option of the selector, so part of a trial's key, and told by its label."""
    path = tmp_path / "held.toml"
    entry = '{name = "merge-reduce", held = [90, 1000], options = {width = 0.4}}'
    path.write_text(SMALL.replace('"reservoir"]', f'"reservoir", {entry}]'), encoding="utf-8")
    plan = read_plan(path)
    trials = [trial for trial in plan.trials() if trial.selector == "merge-reduce"]
    assert len({trial.key for trial in trials}) == len(trials) == 2 * 3 * 2
    assert {trial.options["held"] for trial in trials} == {90, 1000}
    assert all(trial.options["width"] == 0.4 for trial in trials)
    labels = [choice.label for choice in plan.group("streams").selectors]
    name = "merge-and-reduce + facility location"
    assert labels == ["uniform sample", f"{name}, 90 held", f"{name}, 1,000 held"]
    assert {choice.plain_label for choice in plan.group("streams").selectors[1:]} == {name}


def test_a_group_without_orders_chooses_from_all_at_once(tmp_path: Path) -> None:
    """Though the settings at the top make streams of the others."""
    path = tmp_path / "orders.toml"
    text = SMALL.replace('orders = ["shuffled", "sorted"]', "orders = []")
    path.write_text(f'orders = ["bursts"]\n{text}', encoding="utf-8")
    trials = read_plan(path).trials()
    streamed = {trial.data for trial in trials if trial.order == "bursts"}
    assert streamed == {"mnist", "fashion-mnist"}
    assert {trial.order for trial in trials if trial.data == "banking77"} == {None}


def test_epochs_of_a_group_take_the_place_of_steps_for_all(tmp_path: Path) -> None:
    """Training takes a number of steps where there is one, whatever the epochs."""
    path = tmp_path / "epochs.toml"
    path.write_text(SMALL.replace("{steps = 9}", "{epochs = 2}"), encoding="utf-8")
    settings = [trial.train for trial in read_plan(path).trials()]
    assert [train for train in settings if "epochs" in train] == [{"epochs": 2}] * 9
    for plan in PLANS:
        assert not any({"steps", "epochs"} <= set(t.train) for t in read_plan(plan).trials())


def test_all_trials_with_one_seed_come_before_those_with_the_next(small: Path) -> None:
    """An interrupted run has whole tables, of fewer seeds."""
    plan = read_plan(small)
    places = [
        next(g for g in plan.groups if trial.data in g.data).seeds.index(trial.seed)
        for trial in plan.trials()
    ]
    assert places == sorted(places)


def test_trials_that_two_groups_share_are_run_once(small: Path) -> None:
    """Their key is that of what they do, not of where they are shown."""
    plan = read_plan(small)
    twice = replace(plan, groups=(*plan.groups, replace(plan.groups[0], name="again")))
    assert twice.trials() == plan.trials()


def test_everything_that_decides_a_result_is_in_its_key() -> None:
    """And nothing else is."""
    base = Trial("mnist", 60, "echo")
    others = [
        replace(base, data="mnist-lt"),
        replace(base, budget=61),
        replace(base, selector="random"),
        replace(base, options={"rank": "center"}),
        replace(base, recipe="structural"),
        replace(base, seed=1),
        replace(base, protocol="P2"),
        replace(base, order="sorted"),
        replace(base, train={"steps": 3}),
        replace(base, labels_of=("echo", {})),
    ]
    assert len({trial.key for trial in (base, *others)}) == len(others) + 1
    one, other = ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert replace(base, options=one).key == replace(base, options=other).key


def test_a_selector_that_has_changed_has_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do trials whose number of labels it decides; those of others keep theirs."""
    trials = [
        Trial("mnist", 60, "echo"),
        Trial("mnist", 60, "random", labels_of=("echo", {})),
        Trial("mnist", 60, "random"),
    ]
    before = [trial.key for trial in trials]
    monkeypatch.setitem(REVISIONS, "echo", 1_000)
    assert [trial.key == key for trial, key in zip(trials, before, strict=True)] == [
        False,
        False,
        True,
    ]


def test_a_selection_that_others_share_is_expected_once() -> None:
    """And that of k-means medoids to grow with their number."""
    plain, weighed = (Trial("mnist", "10%", "k-medoids", recipe=r) for r in ("ce", "ce+weights"))
    each, both = expected_seconds([plain]), expected_seconds([plain, weighed])
    few = expected_seconds([replace(plain, budget="0.1%")])
    assert few < each < both < 2 * each
    # What is shared is what grows: k-means of 6,000 takes longer than a training.
    assert 2 * each - both > 2 * few


def test_shares_are_of_the_training_set() -> None:
    """In budgets and in options."""
    assert [resolve_budget(text, 50_000) for text in ("0.1%", "50%", "100%", 7)] == [
        50, 25_000, 50_000, 7
    ]  # fmt: skip
    options = {"warmup": "10%", "rank": "mixed", "support_share": 0.5}
    assert resolve_options(options, 1_000) == options | {"warmup": 100}
    with pytest.raises(ConfigError, match=r"at most 10, .*; got 11"):
        resolve_budget(11, 10)


def test_a_file_of_another_kind_is_no_plan(tmp_path: Path) -> None:
    """Of two brackets one is easily forgotten."""
    path = tmp_path / "one.toml"
    path.write_text('[group]\nname = "a"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"write \[\[group\]\], with two brackets"):
        read_plan(path)
    path.write_bytes(b"\x1f\x8b\xff")
    with pytest.raises(ConfigError, match="is no TOML"):
        read_plan(path)
    with pytest.raises(ConfigError, match="No such file or directory; ours are in"):
        read_plan(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = 2", "sedes = 2", "no setting 'sedes'"),
        ('"1%"', '"1"', "such as \"0.1%\"; got '1'"),
        ('"1%"', "0", "got 0"),
        ('"structural"', '"structual"', "got 'structual'"),
        ('"sorted"', '"backwards"', "one of shuffled, sorted, bursts; got 'backwards'"),
        ('labels_of = "ours"', 'labels_of = "hers"', "no selector labelled 'hers'"),
        ('baseline = "uniform sample"', 'baseline = "random"', "no selector labelled 'random'"),
        ("with_full = true", 'why = "It is so."', "wins and loses; got 'It is so.' with ours = []"),
        ("with_full = true", 'why = 3\nours = ["uniform sample"]', "why must be text; got 3"),
        ("with_full = true", 'why = " "\nours = ["uniform sample"]', "why is text"),
        ('title = "Images"\n', "", "missing 1 required positional argument: 'title'"),
        ("[train]", "[train", "is no TOML"),
        ("[train]\nsteps = 7", "train = 3", "train must be a table; got 3"),
        ("[[group]]", "[group]", "is no TOML"),
        ("budgets = [77]", "budgets = 77", "group streams: budgets must be a list; got 77"),
        ('data = ["banking77"]', 'data = "banking77"', "data must be a list; got 'banking77'"),
        ('"random", {label', "3, {label", "a selector: label must be text; got 3"),
        (
            'recipes = ["ce", "structural"]',
            "recipes = [3]",
            "each of them, must be text; got 3",
        ),
        ("budgets = [77]", "budgets = []", "group streams: budgets are none"),
        ("seeds = 2", "seeds = 0", "group images: seeds are none"),
        ("seeds = 2", "seeds = true", "seeds must be a list; got True"),
        ("seeds = [3, 4, 5]", 'seeds = ["3"]', "each of them, must be a whole number; got '3'"),
        ("budgets = [77]", 'budgets = [77]\nprotocol = "P3"', "one of P1, P2; got 'P3'"),
        ("budgets = [77]", 'budgets = [77]\nmetrics = ["acuracy"]', "rare_recall"),
        (
            'label = "ours"',
            'label = "uniform sample"',
            "group images has 2 selectors named 'uniform sample'",
        ),
        (
            '["reservoir"]',
            '["reservoir", {name = "merge-reduce", held = 90}]',
            "selector merge-and-reduce + facility location: held must be a list; got 90",
        ),
        (
            '["reservoir"]',
            '["reservoir", {name = "merge-reduce", held = ["10%"]}]',
            "held must be numbers of payloads; got ['10%']",
        ),
        ("with_full = true", 'everything = "all"', "group streams has no selector labelled 'all'"),
        ('name = "streams"', 'name = "images"', "the plan has 2 groups named 'images'"),
    ],
)
def test_what_no_plan_says_is_refused(small: Path, old: str, new: str, message: str) -> None:
    """In words that name the file and what was given."""
    small.write_text(SMALL.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_plan(small)
    assert message in str(caught.value)
    assert "small.toml" in str(caught.value)


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_every_plan_of_ours_can_be_read(path: Path) -> None:
    """Its trials are distinct."""
    trials = read_plan(path).trials()
    assert trials
    assert len({trial.key for trial in trials}) == len(trials)


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_has_every_row_once(order: str) -> None:
    """And is another for another seed."""
    y = np.random.default_rng(0).integers(0, 5, 2_000)
    rows = arranged(order, y, 0)
    np.testing.assert_array_equal(np.sort(rows), np.arange(2_000))
    np.testing.assert_array_equal(rows, arranged(order, y, 0))
    assert (rows != arranged(order, y, 1)).any()


def test_orders_keep_classes_together_or_do_not() -> None:
    """Sorted: once; in bursts: for a while; shuffled: hardly."""
    y = np.random.default_rng(0).integers(0, 5, 5_000)
    changes = {order: np.count_nonzero(np.diff(y[arranged(order, y, 0)])) for order in ORDERS}
    assert changes["sorted"] == 4
    assert 5_000 / BURST[1] / 2 < changes["bursts"] < 5_000 / BURST[0]
    assert changes["shuffled"] > 3_000
