"""Pages, pictures and the README's table are those of the records, and read as they should."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.evaluation.plan import Choice, Floor, Group, Picture, Plan, Ranking
from benchmarks.evaluation.trial import Trial
from benchmarks.report.aggregate import plan_records
from benchmarks.report.pages import pages, pictures, readme_table, with_table
from benchmarks.report.pictures import digest, draw, drawn_of
from benchmarks.report.records import Record, read_records
from benchmarks.report.words import slug
from benchmarks.report.writing import PAGES, README, RECORDS, read_plans
from echo_stream.errors import ConfigError
from tests.support.benchmarks.made_lines import lines

MOST_BYTES = 1_000_000

GROUP = Group(
    name="images",
    title="Images",
    data=("mnist",),
    budgets=(60, "1%"),
    selectors=(
        Choice("uniform sample", "random"),
        Choice("coreset", "echo"),
        Choice("herding", "herding", {"depth": 3}),
    ),
    recipes=("ce",),
    seeds=(0, 1, 2),
    ours=("coreset",),
    note="As it is.",
    why="It covers the space.",
)
PLAN = Plan(
    "Mine",
    (GROUP,),
    (Floor("five points above", "images", ("coreset",), "uniform sample", 5.0),),
    rankings=(Ranking("all", "By rank", ("images",)),),
    pictures=(Picture("mine", "My curves", ("images",)),),
)
GAINS = {"random": 0.0, "echo": 0.03, "herding": 0.2}


def share_right(trial: Trial) -> float:
    """Return accuracies that differ by selector, budget and seed."""
    return 0.5 + GAINS[trial.selector] + 0.1 * (trial.budget != 60) + 0.01 * trial.seed


def records_of(plan: Plan) -> list[Record]:
    """Return the records of made-up results of a plan."""
    return plan_records("mine", plan, lines(plan, share_right))


def page_of(plan: Plan) -> str:
    """Return the page of a plan, of made-up results."""
    return pages({"mine": plan}, records_of(plan))["mine.md"]


def test_committed_pages_are_those_of_the_records() -> None:
    """No number is changed by hand; if this fails, run `python -m benchmarks.report`."""
    made = pages(read_plans(), read_records(RECORDS))
    committed = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    assert committed == made


def test_committed_pictures_are_drawn_of_the_records() -> None:
    """They tell what they were drawn of; if this fails, run `python -m benchmarks.report`."""
    made = pictures(read_plans(), read_records(RECORDS))
    committed = {path.name: drawn_of(path) for path in PAGES.glob("*.png")}
    assert committed == {name: digest(drawn) for name, drawn in made.items()}


def test_the_readmes_table_is_that_of_the_records() -> None:
    """Between its markers; if this fails, run `python -m benchmarks.report`."""
    table = readme_table(read_plans(), read_records(RECORDS))
    assert f"<!-- results:begin -->\n{table}<!-- results:end -->" in README.read_text("utf-8")
    assert len(re.findall(r"^\| \S.*\d", table, re.M)) == 5


def test_records_are_few_and_of_plans() -> None:
    """The file stays small; a group that no plan has would be on no page."""
    assert RECORDS.stat().st_size < MOST_BYTES
    known = {("selection", "costs")}
    for name, plan in read_plans().items():
        known |= {(name, group.name) for group in plan.groups}
        known |= {(name, ranking.name) for ranking in plan.rankings}
    found = {
        (r["plan"], r.get("group") or r["ranking"]) for r in read_records(RECORDS) if "plan" in r
    }
    assert found <= known


def test_links_within_pages_lead_to_headings() -> None:
    """Of the same page, or of another; every page of a plan has such links."""
    texts = {path.name: path.read_text("utf-8") for path in PAGES.glob("*.md")}
    headings = {
        name: {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}
        for name, text in texts.items()
    }
    for page, text in texts.items():
        links = re.findall(r"\]\(([\w-]*(?:\.md)?)#([^)]+)\)", text)
        assert not [link for link in links if link[1] not in headings[link[0] or page]]
        assert links or page not in {f"{plan}.md" for plan in read_plans()}


def test_a_page_has_summary_floors_ranking_tables_and_losses() -> None:
    """In this order, with the command that measures each group."""
    text = page_of(PLAN)
    parts = (
        "# Mine\n",
        "| [Images](#images) | MNIST: accuracy | 60 / 1 % | 51.0 / 61.0 | 54.0 / 64.0 |",
        "**1 floor (what was asked for): 0 met, 0 met only within the error, 1 missed.**",
        "- five points above, *coreset*: +3.00 ± 0.00, asked +5",
        "![My curves](mine.png)",
        "| five points above | coreset |  | ≥ 5 | +3.00 ± 0.00 | 3 | **missed** |",
        "## By rank\n",
        "| herding | 1.00 | +20.0 ± 0.0 |",
        "## Images\n\nAs it is.\n*herding* is `herding` with depth = 3.\n",
        "18 of 18 trials, 3 seeds, LeNet, cross-entropy; baseline: uniform sample.",
        "**MNIST: accuracy, %, by number of labels**\n\n| selector | 60 | 1 % (60) |",
        "| uniform sample | 51.0 ± 1.0 | 61.0 ± 1.0 |",
        "| coreset | 54.0 ± 1.0 (+3.0 ± 0.0) | 64.0 ± 1.0 (+3.0 ± 0.0) |",
        "| herding | **71.0 ± 1.0** (+20.0 ± 0.0) | **81.0 ± 1.0** (+20.0 ± 0.0) |",
        "**Above the baseline: 2. Below another selector: 2.**\n\n"
        "- coreset against herding: MNIST, at 60: -17.00 ± 0.00; MNIST, at 1 %: -17.00 ± 0.00\n",
        "Why: It covers the space.",
        "run benchmarks/plans/mine.toml --group images --data DIR --out FILE`",
        "- 2 cores of Abacus, training on cpu, Python 3.11, torch 2.0",
    )
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_what_a_selection_takes_is_one_table() -> None:
    """Means by number of labels, one where they are all alike; what is in no line is no column."""
    group = replace(GROUP, metrics=("accuracy", "explained", "held_share", "regenerations"))
    plan = replace(PLAN, groups=(group,))
    found = lines(plan, share_right)
    for line in found.values():
        line |= {"explained": line["accuracy"], "held_share": 0.25}
    text = pages({"mine": plan}, plan_records("mine", plan, found))["mine.md"]
    assert "| selector | variance explained, % | payloads held, % |" in text
    assert "| coreset | 54.0 / 64.0 | 25.0 |" in text


def test_a_table_by_payloads_held_says_how_few_are_enough() -> None:
    """Within a point of keeping everything; with the standard error, not the deviation."""
    one, other = (
        Choice.several({"name": name, "held": [90, 1000]}) for name in ("merge-reduce", "cbrs")
    )
    whole = Choice("keeping all", "random", {"all": 1})
    selectors = (*GROUP.selectors, *one, *other[:1], whole)
    group = replace(GROUP, selectors=selectors, budgets=(60,), everything="keeping all")
    plan = replace(PLAN, groups=(group,), rankings=(), pictures=())
    held = {90: -0.02, 1000: -0.01}

    def accuracy(trial: Trial) -> float:
        return 0.6 + held.get(trial.options.get("held", 0), 0.0) + 0.01 * trial.seed

    text = pages({"mine": plan}, plan_records("mine", plan, lines(plan, accuracy)))["mine.md"]
    assert (
        "**MNIST, 60 labels: accuracy, %, ± standard error, by payloads held**\n\n"
        "| payloads held | merge-and-reduce + facility location | CBRS |\n"
        "| --- | ---: | ---: |\n"
        "| 90 | 59.0 ± 0.6 | 59.0 ± 0.6 |\n"
        "| 1,000 | 60.0 ± 0.6 | – |\n"
        "| smallest number within a point of keeping all, 61.0 ± 0.6 | 1,000 | – |\n"
    ) in text


def test_a_selector_that_is_trained_alike_has_one_row() -> None:
    """Others have one for each training."""
    group = replace(GROUP, recipes=("ce", "ce+auto"), budgets=(60,))
    plan = replace(PLAN, groups=(group,), rankings=())
    found = lines(
        plan, lambda t: share_right(t) + 0.1 * (t.recipe == "ce+auto" and t.selector == "echo")
    )
    text = pages({"mine": plan}, plan_records("mine", plan, found))["mine.md"]
    assert "| uniform sample | any | 51.0 ± 1.0 |" in text
    assert "| coreset | cross-entropy | 54.0 ± 1.0 (+3.0 ± 0.0) |" in text
    assert "| coreset | cross-entropy, automatic weights | 64.0 ± 1.0 (+13.0 ± 0.0) |" in text


def test_lost_trainings_are_told() -> None:
    """With how many there were."""
    found = lines(PLAN, lambda t: 0.1 if t.selector == "echo" and t.seed == 1 else share_right(t))
    text = pages({"mine": PLAN}, plan_records("mine", PLAN, found))["mine.md"]
    assert (
        "- Trainings that learnt nothing on MNIST: coreset, cross-entropy, 60: 1 of 3; "
        "coreset, cross-entropy, 1 %: 1 of 3\n"
    ) in text


def test_labels_have_a_column_where_they_are_not_the_budget() -> None:
    """As has the paper's score; all samples have a line."""
    group = replace(GROUP, budgets=("1%", "10%"), with_full=True, protocol="P2")
    plan = replace(PLAN, groups=(group,))
    found = lines(plan, share_right)
    for line in found.values():
        line["labels"] = 445
    text = pages({"mine": plan}, plan_records("mine", plan, found))["mine.md"]
    assert "The core alone is the budget, as the paper counts" in text
    assert "| selector | 1 % (60) | 10 % (60) | fidelity | labels |" in text
    assert re.search(r"^\| coreset \| .* \| 1\.0\d \| 445 / 445 \|$", text, re.M)
    assert "All samples of MNIST, cross-entropy: accuracy 61.0 ± 1.0 %." in text


def test_a_floor_says_how_many_cells_are_measured() -> None:
    """Where not all are."""
    floor = replace(PLAN.floors[0], at_least=2.0, is_everywhere=True)
    plan = replace(PLAN, floors=(floor,), rankings=())
    found = lines(plan, lambda t: share_right(t) if t.budget == 60 else None)
    text = pages({"mine": plan}, plan_records("mine", plan, found))["mine.md"]
    assert "| MNIST, 60 (1 of 2 measured) | ≥ 2 | +3.00 ± 0.00 | 3 | met |" in text


def test_plans_without_records_have_no_page() -> None:
    """Nor a line in the index."""
    found = pages({"mine": PLAN, "other": PLAN}, records_of(PLAN))
    assert set(found) == {"mine.md", "index.md"}
    assert "(other.md)" not in found["index.md"]
    assert "| [Mine](mine.md) |  | 0 | 0 | 1 |" in found["index.md"]


def test_a_picture_is_drawn_once(tmp_path: Path) -> None:
    """Its bytes depend on fonts, so it is drawn again only if what it shows has changed."""
    (panels,) = pictures({"mine": PLAN}, records_of(PLAN)).values()
    assert [panel.title for panel in panels] == ["MNIST"]
    path = tmp_path / "mine.png"
    draw(panels, path)
    before = path.stat().st_mtime_ns
    draw(panels, path)
    assert path.stat().st_mtime_ns == before
    assert drawn_of(path) == digest(panels)
    other = panels[0]._replace(title="Another")
    draw([other], path)
    assert drawn_of(path) == digest([other]) != digest(panels)


def test_a_readme_has_its_table_between_markers() -> None:
    """And all else as it is."""
    marked = "# A\n<!-- results:begin -->\nold\n<!-- results:end -->\nend\n"
    assert with_table(marked, "| new |\n") == marked.replace("old", "| new |")
    assert with_table("# A\n", "| new |\n") == "# A\n"


def test_a_highlight_that_was_not_measured_is_named() -> None:
    """The README would say nothing of it."""
    with pytest.raises(ConfigError, match=r"highlight 'Banking77.*uniform sample was not measured"):
        readme_table(read_plans(), [])
