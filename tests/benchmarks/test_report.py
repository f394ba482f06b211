"""Reports grow by what is measured, group by group, and lose nothing that was there."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.evaluation.plan_files import read_plan
from benchmarks.evaluation.results import appending, failed
from benchmarks.evaluation.revisions import REVISIONS
from benchmarks.evaluation.trial import Trial
from benchmarks.quality import main
from echo_stream.errors import ConfigError
from tests.benchmarks.made_lines import line

PLAN = """
title = "Mine"
note = "As it is."
data = ["mnist"]
seeds = 2
[[group]]
name = "images"
title = "Images"
budgets = [60, 600]
selectors = ["random", "echo"]
ours = ["echo"]
[[group]]
name = "wider"
title = "Wider"
budgets = [60, 600, 3_000]
selectors = ["random", "echo"]
[[group]]
name = "apart"
title = "Apart"
budgets = [60]
selectors = ["k-medoids"]
baseline = "k-medoids"
[[floor]]
text = "above"
group = "images"
selector = "echo"
against = "random"
at_least = 5
[[floor]]
text = "beside"
group = "images"
budgets = [60]
selector = "echo"
against = "k-medoids"
against_group = "apart"
at_least = -1
is_everywhere = true
"""

GAINS = {"random": 0.0, "echo": 0.03, "k-medoids": 0.02}
UNKNOWN = "| beside | -1 | – | – | not measured |"
KNOWN = (
    "| beside (mnist, 60, ce; 1 of 1 cells measured) | -1 | +1.00 ± 0.00 | 2 | "
    "met, of fewer seeds than 10 |"
)

Report = Callable[..., str]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Write a plan of which two groups share trials."""
    path = tmp_path / "mine.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture
def report(tmp_path: Path, plan: Path) -> Report:
    """Return a function that reports files of results in one call, and reads the report."""

    def call(*results: Path) -> str:
        told(plan, *results)
        return (tmp_path / "benchmarks.md").read_text(encoding="utf-8")

    return call


def told(plan: Path, *results: Path) -> str:
    """Report files of results beside a plan; return what is said on stderr."""
    out = plan.with_name("benchmarks.md")
    arguments = ["report", *map(str, results), "--out", str(out), "--plan", str(plan)]
    found = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert found.stdout.endswith(f"sections in {out}, and pictures beside it\n")
    return found.stderr


def measured(plan: Path, group: str, seeds: Sequence[int] = (0, 1)) -> Path:
    """Return a file with lines of a group's trials."""
    path = plan.with_name(f"{group}-{len(seeds)}.jsonl")
    with appending(path) as results:
        for trial in read_plan(plan).group(group).all_trials():
            if trial.seed in seeds:
                accuracy = 0.5 + GAINS[trial.selector] + 0.01 * trial.seed
                results.append(line(trial, accuracy))
    return path


def section(text: str, group: str) -> str:
    """Return what a report says of a group."""
    begin, end = f"<!-- group mine/{group} -->\n", f"<!-- end of mine/{group} -->\n"
    return text.partition(begin)[2].partition(end)[0]


def test_a_section_stands_by_itself(tmp_path: Path, plan: Path, report: Report) -> None:
    """It has progress, command, machine, failures, picture, tables, losses, wins and floors."""
    results, failing = measured(plan, "images"), Trial("mnist", 60, "echo", seed=1)
    done = results.read_text(encoding="utf-8").splitlines(keepends=True)
    results.write_text("".join(text for text in done if failing.key not in text), encoding="utf-8")
    with appending(results) as lines:
        lines.append(line(failing, 0.5) | {"error": "oh dear"})
    found = section(report(results), "images")
    for expected in (
        "### Images\n\nP1.\n",
        "7 of 8 trials are done, of 2 of 2 seeds; ",
        f"run {plan} --group images --data DIR --out FILE` runs them.",
        "- 7 trials on 2 cores of Abacus, training on cpu, Python 3.11, torch 2.0",
        "- trials that failed: 1, such as: oh dear",
        "![Images](benchmarks-images.png)",
        "| random | 50.5 ± 0.7 | 50.5 ± 0.7 | 2.0 |",
        "**Lost: 0**\n\n**Won: 1**\n\n- echo against random: mnist at 600, ce: +3.00 ± 0.00",
        "| above | +5 | +3.00 | 1 | **missed** so far |",
    ):
        assert expected in found
    assert (tmp_path / "benchmarks-images.png").read_bytes().startswith(b"\x89PNG")


def test_a_section_says_why_ours_wins_and_loses(plan: Path, report: Report) -> None:
    """In a paragraph below the lists, before the floors, if the plan says it."""
    results = measured(plan, "images")
    assert "Why" not in section(report(results), "images")
    said = 'ours = ["echo"]\nwhy = "It covers the space."'
    plan.write_text(PLAN.replace('ours = ["echo"]', said), encoding="utf-8")
    found = section(report(results), "images")
    assert ": +3.00 ± 0.00\n\nWhy: It covers the space.\n\n| floor |" in found


def test_the_top_has_all_floors_and_the_end_the_papers_figures(plan: Path, report: Report) -> None:
    """The rows are those of the sections."""
    top, _, rest = report(measured(plan, "images")).partition("## Mine\n\nAs it is.")
    assert "python -m benchmarks.quality report RESULTS --out" in top
    assert "| above | +5 | +3.00 ± 0.00 | 2 | **missed**, of fewer seeds than 10 |" in top
    assert UNKNOWN in top
    assert "Lost: 0" not in top
    assert "ECHO paper, Table I, not measured here" in rest
    assert "| ECHO, core alone counted | 65.6 ± 1.3 |" in rest


@pytest.mark.parametrize("order", [("images", "wider"), ("wider", "images")])
def test_results_may_come_one_file_after_another(
    tmp_path: Path, plan: Path, report: Report, order: tuple[str, str]
) -> None:
    """The report is that of all at once, also where groups share trials."""
    first, second = (measured(plan, group) for group in order)
    report(first)
    found = report(second)
    assert report(first) == found
    assert report(first, second) == found
    (tmp_path / "benchmarks.md").unlink()
    assert report(first, second) == found


def test_the_same_results_again_change_nothing(plan: Path, report: Report) -> None:
    """Not a character, whether the report is all theirs or not."""
    files = [measured(plan, group) for group in ("images", "apart")]
    before = report(*files)
    assert report(*files) == before
    assert report(files[0]) == before


def test_a_part_does_not_take_the_place_of_more(plan: Path, report: Report) -> None:
    """Unless the plan does not have as many trials any more."""
    wider, images = measured(plan, "wider"), measured(plan, "images")
    before = section(report(wider), "wider")
    remark = "mine/wider keeps its section, of 12 trials; the results have 8\n"
    assert told(plan, images) == remark
    assert section(report(images), "wider") == before
    plan.write_text(PLAN.replace("600, 3_000", "600"), encoding="utf-8")
    assert "8 of 8 trials" in section(report(images), "wider")


def test_a_floor_against_another_group_keeps_its_row(plan: Path, report: Report) -> None:
    """Where the other group's results are not there, or fewer than it is shown with."""
    images, apart = measured(plan, "images"), measured(plan, "apart")
    assert report(images).count(UNKNOWN) == 2  # at the top, and in its section
    assert report(apart).count(UNKNOWN) == 2
    assert report(images, apart).count(KNOWN) == 2
    assert report(images).count(KNOWN) == 2
    assert report(images, measured(plan, "apart", seeds=[0])).count(KNOWN) == 2


def test_a_floor_against_another_group_goes_with_its_revision(
    plan: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was made of is not what the section shows any more."""
    assert report(measured(plan, "images"), measured(plan, "apart")).count(KNOWN) == 2
    monkeypatch.setitem(REVISIONS, "echo", 1_000)
    assert report(measured(plan, "images")).count(UNKNOWN) == 2


def test_other_sections_stay_word_for_word(plan: Path, report: Report) -> None:
    """In the order of the plan, whatever the order in which they came."""
    apart = measured(plan, "apart")
    report(apart)
    before = report(measured(plan, "images"))
    assert before.index("mine/images") < before.index("mine/apart")
    plan.write_text(PLAN.replace("Images", "Pictures").replace("Apart", "Alone"), encoding="utf-8")
    after = report(apart)
    assert section(after, "images") == section(before, "images")
    assert "### Alone" in section(after, "apart")


def test_groups_that_no_plan_has_are_dropped(plan: Path, report: Report) -> None:
    """Their sections, not those of others."""
    before = report(measured(plan, "images"), measured(plan, "apart"))
    plan.write_text(PLAN.replace('"apart"', '"beside"'), encoding="utf-8")
    images = measured(plan, "images")
    assert told(plan, images) == "mine/apart is dropped: no plan has it\n"
    after = report(images)
    assert "mine/apart" in before
    assert "mine/apart" not in after
    assert section(after, "images") == section(before, "images")


@pytest.mark.parametrize(
    "text",
    [
        "# Notes\n",
        "<!-- group mine/images -->\n\n### Images\n",
        2 * "<!-- group a/b -->\n\n### B\n\n<!-- end of a/b -->\n",
    ],
)
def test_what_is_no_report_is_not_overwritten(
    tmp_path: Path, plan: Path, report: Report, text: str
) -> None:
    """Neither other text, nor sections that are cut or doubled."""
    path = tmp_path / "benchmarks.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="no report that can be continued"):
        report(measured(plan, "images"))
    assert path.read_text(encoding="utf-8") == text


def test_an_empty_file_becomes_a_report(tmp_path: Path, plan: Path, report: Report) -> None:
    """As one that is not there."""
    (tmp_path / "benchmarks.md").touch()
    assert section(report(measured(plan, "images")), "images")


def test_results_of_no_plan_make_no_report(tmp_path: Path, report: Report) -> None:
    """There would be nothing to continue."""
    results = tmp_path / "none.jsonl"
    results.touch()
    with pytest.raises(ConfigError, match="no trial of a plan is done"):
        report(results)


def test_a_group_of_failures_alone_is_told(plan: Path) -> None:
    """It has no section, which would otherwise be all that there is to see."""
    path = plan.with_name("failed.jsonl")
    with appending(path) as results:
        for trial in read_plan(plan).group("images").all_trials():
            results.append(failed(trial, "oh dear"))
    said = told(plan, path, measured(plan, "apart"))
    assert "mine/images has no section: 8 failed, such as: oh dear\n" in said
