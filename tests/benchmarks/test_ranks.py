"""Rankings over several groups: mean ranks over their cells, kept as sections of groups are."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.evaluation.plan_files import read_plan
from benchmarks.evaluation.rank_table import rank_section
from benchmarks.evaluation.results import Line, appending
from benchmarks.evaluation.revisions import REVISIONS
from benchmarks.evaluation.trial import Trial
from benchmarks.quality import main
from echo_stream.errors import ConfigError
from tests.benchmarks.made_lines import line, lines

PLAN = """
title = "Mine"
seeds = 2
selectors = ["random", "echo", "herding"]
[[group]]
name = "images"
title = "Images"
data = ["mnist"]
orders = ["shuffled", "sorted"]
budgets = [60, 600]
[[group]]
name = "tail"
title = "Long tail"
data = ["mnist-lt"]
budgets = [60]
recipes = ["structural"]
metrics = ["balanced_accuracy"]
selectors = ["herding", "random", "echo", "k-center"]
[[group]]
name = "recipes"
title = "Recipes"
data = ["mnist"]
budgets = [60]
recipes = ["ce", "structural"]
[[group]]
name = "other"
title = "Other"
data = ["mnist"]
budgets = [60]
selectors = ["random", {label = "echo", name = "echo", options = {rank = "center"}}]
[[rank]]
name = "all"
title = "All of them"
groups = ["images", "tail"]
"""

GAINS = {"echo": 0.02, "random": 0.01, "herding": 0.0, "k-center": 0.3}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Write a plan with a ranking over two of its groups."""
    path = tmp_path / "mine.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def share_right(trial: Trial) -> float:
    """Return accuracies in one order of selectors, but for random, the best in sorted streams."""
    gain = 0.1 if (trial.selector, trial.order) == ("random", "sorted") else 0.0
    return 0.5 + GAINS[trial.selector] + gain


def results_of(plan: Path) -> dict[str, Line]:
    """Return lines of all trials, whose balanced accuracy has the reverse order."""
    found = lines(read_plan(plan), share_right)
    for each in found.values():
        each["balanced_accuracy"] = 1 - each["accuracy"]
    return found


def ranked(plan: Path, results: dict[str, Line]) -> str:
    """Return the section of the plan's ranking."""
    read = read_plan(plan)
    return rank_section(read.rankings[0], read, results)


def test_a_ranking_is_of_all_cells_of_its_groups(plan: Path) -> None:
    """By each group's own metric; of selectors that all have; the best first."""
    assert ranked(plan, results_of(plan)).splitlines() == [
        "### All of them",
        "",
        "The mean of ranks, 1 the best, in cells: a data set, an order and a budget each, "
        "ranked by means over seeds. 5 of 5 cells are ranked.",
        "",
        "- `images`, accuracy, ce: 4 of 4 cells",
        "- `tail`, balanced accuracy, structural: 1 of 1 cells",
        f"- revisions of selectors: echo {REVISIONS['echo']}",
        "",
        "| 5 cells | mean rank | worst cell beside the baseline, points |",
        "| --- | ---: | ---: |",
        "| random | 1.60 | – |",
        "| echo | 1.80 | -9.0 ± 0.0 |",
        "| herding | 2.60 | -11.0 ± 0.0 |",
    ]


def test_cells_that_lack_a_trial_are_left_out(plan: Path) -> None:
    """And counted; without a whole cell there is no ranking."""
    found = results_of(plan)
    group = read_plan(plan).group("images")
    trial = group.trial("mnist", 60, group.choice("echo"), "ce", 1, "sorted")
    found[trial.key] |= {"error": "oh dear"}
    text = ranked(plan, found)
    assert "4 of 5 cells are ranked; in the others a trial of some selector is not done.\n" in text
    assert "- `images`, accuracy, ce: 3 of 4 cells" in text
    assert "| echo | 1.75 |" in text
    first = {key: each for key, each in found.items() if each["trial"]["seed"] == 0}
    assert ranked(plan, first) == ""


def test_selectors_that_choose_by_labels_are_ranked_apart(plan: Path) -> None:
    """They take no place, and are named."""
    found = results_of(plan)
    for each in found.values():
        if each["trial"]["selector"] == "echo":
            each["info"] = {"labels_seen": 60_000}
    text = ranked(plan, found)
    assert "| random | 1.20 |" in text
    assert "| echo |" not in text
    assert text.endswith("\nNot ranked, since they choose by labels: echo.\n")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"images", "tail"]', '"images", "tails"]', "there is no group 'tails'; there are images,"),
        ('"images", "tail"]', '"recipes"]', "group recipes has 2 recipes; give groups of one"),
        ('"images", "tail"]', '"tail", "other"]', "have no two selectors in common"),
        ('"images", "tail"]', "]", "ranking 'all' has no groups"),
        ('name = "all"', 'name = "tail"', "a group or ranking has this name"),
        ('name = "all"\n', "", "a ranking: missing 1 required positional argument: 'name'"),
        ('title = "All', 'titel = "All', "a ranking has no setting 'titel'"),
    ],
)
def test_rankings_of_what_is_not_there_are_refused(
    plan: Path, old: str, new: str, message: str
) -> None:
    """In words that say what there is."""
    plan.write_text(PLAN.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_plan(plan)
    assert message in str(caught.value)


def told(plan: Path, groups: Sequence[str], seeds: Sequence[int] = (0, 1)) -> str:
    """Report results of some groups beside a plan; return what is said on stderr."""
    path = plan.with_name(f"{'-'.join(groups)}-{len(seeds)}.jsonl")
    trials = [trial for name in groups for trial in read_plan(plan).group(name).all_trials()]
    with appending(path) as results:
        for trial in trials:
            if trial.seed in seeds:
                score = share_right(trial)
                results.append(line(trial, score, balanced_accuracy=1 - score))
    out = plan.with_name("benchmarks.md")
    arguments = ["report", str(path), "--out", str(out), "--plan", str(plan)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False).stderr


def test_a_report_has_rankings_at_the_end_of_a_plan(plan: Path) -> None:
    """Those of more cells stay when results have fewer, or none, and go with the plan's."""
    out = plan.with_name("benchmarks.md")
    assert told(plan, ["images", "tail"]) == ""
    before = out.read_text(encoding="utf-8")
    _, _, end = before.partition("<!-- end of mine/tail -->")
    assert "<!-- group mine/all -->\n\n### All of them\n" in end
    said = "mine/all keeps its section, of 5 cells; the results have 4\n"
    assert told(plan, ["images"]) == said
    assert told(plan, ["recipes"]) == ""
    assert "5 of 5 cells are ranked.\n" in out.read_text(encoding="utf-8")
    plan.write_text(PLAN.partition("[[rank]]")[0], encoding="utf-8")
    assert told(plan, ["images"]) == "mine/all is dropped: no plan has it\n"
    assert "All of them" not in out.read_text(encoding="utf-8")


def test_a_ranking_stays_unless_results_have_each_groups_cells(plan: Path) -> None:
    """As many cells of another group do not take their place."""
    told(plan, ["tail"])
    assert told(plan, ["images"]) == "mine/all keeps its section, of 1 cells; the results have 4\n"
    text = plan.with_name("benchmarks.md").read_text(encoding="utf-8")
    assert "1 of 5 cells are ranked; " in text
    assert told(plan, ["tail", "images"]) == ""
    text = plan.with_name("benchmarks.md").read_text(encoding="utf-8")
    assert "5 of 5 cells are ranked.\n" in text
