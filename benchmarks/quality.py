"""How good selections are, at equal numbers of labels: plans of trials, results, and a report.

    python -m benchmarks.quality plan benchmarks/plans/quick.toml
    python -m benchmarks.quality run benchmarks/plans/quick.toml --data DIR --out results.jsonl
    python -m benchmarks.quality report results.jsonl --out docs/benchmarks.md

`run` writes a line of JSON for each trial. Run it again after whatever has stopped it: trials
that have a line are skipped, those that failed are tried again. `report` makes tables, pictures
and text of the lines alone, for the groups that have some; of other groups it keeps what stands.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.command import NATURAL, call, interrupted_once
from benchmarks.evaluation.checking import check
from benchmarks.evaluation.costs import COSTS, costs_section, read_costs
from benchmarks.evaluation.estimates import by_data, expected_seconds, in_words, seconds_left
from benchmarks.evaluation.fences import read_sections
from benchmarks.evaluation.plan import Group, Plan
from benchmarks.evaluation.plan_files import read_plan
from benchmarks.evaluation.report import left_out, make_report, update_sections
from benchmarks.evaluation.results import Line, appending, read_results, unfinished
from benchmarks.evaluation.section import Written
from benchmarks.evaluation.trial import Trial
from benchmarks.evaluation.workers import run_all
from echo_stream.errors import SourceError

PLANS = Path(__file__).parent / "plans"
QUICK_STEPS = 100
INTERRUPTED = 130  # the exit code that shells give for it
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def main() -> None:
    """Compare selections by the models that are trained on them."""


@main.command()
@click.argument("plan", type=FILE)
@click.option("--quick", is_flag=True, help="As for run.")
@click.option("--workers", default=2, type=NATURAL, show_default=True, help="Side by side.")
@click.option("--group", "groups", multiple=True, help="Of the plan; default: all.")
def plan(*, plan: Path, quick: bool, workers: int, groups: tuple[str, ...]) -> None:
    """Say how many trials PLAN, a TOML file, has, and about how long they take.

    On cores of a server; those of ResNet-18 on one GPU.
    """
    trials = _chosen_plan(plan, groups, is_quick=quick).trials()
    for name, seconds in by_data(trials).items():
        count = sum(trial.data == name for trial in trials)
        click.echo(f"{name}: {count} trials, about {in_words(seconds / workers)}")
    whole = in_words(expected_seconds(trials) / workers)
    click.echo(f"all: {len(trials)} trials, about {whole} with {workers} workers")


@main.command()
@click.argument("plan", type=FILE)
@click.option("--data", multiple=True, type=FOLDER, help="Of data sets; as often as needed.")
@click.option("--out", required=True, type=FILE, help="JSON lines, continued if they are there.")
@click.option("--workers", default=2, type=NATURAL, show_default=True, help="One thread each.")
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    help="Of the training; a selector that trains takes a GPU where there is one.",
)
@click.option("--group", "groups", multiple=True, help="Of the plan; default: all.")
@click.option("--quick", is_flag=True, help="One seed, the first budget, 100 steps at most.")
def run(
    *,
    plan: Path,
    data: tuple[Path, ...],
    out: Path,
    workers: int,
    device: str,
    groups: tuple[str, ...],
    quick: bool,
) -> None:
    """Run what is missing of PLAN, a TOML file. Exit code 1: some trials failed.

    \b
    Example:
      python -m benchmarks.quality run benchmarks/plans/quick.toml --out results.jsonl
        --data data --data /usr/share/datasets/fashion-mnist
    """
    trials = _chosen_plan(plan, groups, is_quick=quick).trials()
    missing = unfinished(trials, read_results([out]))
    if missing:
        check(missing, data, device)
    click.echo(f"{len(missing)} of {_trials(len(trials))} to run", err=True)
    failures, left = 0, {trial.key: trial for trial in missing}
    try:
        for line in _written(missing, data, out, workers=workers, device=device):
            failures += line["error"] is not None
            del left[line["key"]]
    except KeyboardInterrupt:
        done = len(missing) - len(left)
        click.echo(f"{_trials(done)} more in {out}; the same command goes on there", err=True)
        sys.exit(INTERRUPTED)
    if failures:
        click.echo(f"{_trials(failures)} failed; their lines in {out} say why", err=True)
        sys.exit(1)
    click.echo(f"all in {out}; `report {out} --out FILE` makes tables of it", err=True)


@main.command()
@click.argument("results", nargs=-1, required=True, type=FILE)
@click.option("--out", required=True, type=FILE, help="Markdown, continued if it is there.")
@click.option("--plan", "plans", multiple=True, type=FILE, help="Of your own, beside all of ours.")
@click.option("--costs", type=FILE, help="JSON of benchmarks.selection, for a section of its own.")
@click.option("--quick", is_flag=True, help="Of what `run --quick` has written.")
def report(
    *,
    results: tuple[Path, ...],
    out: Path,
    plans: tuple[Path, ...],
    costs: Path | None,
    quick: bool,
) -> None:
    """Put tables and pictures of RESULTS into a report, a section for each group of a plan.

    Groups of which RESULTS has no trial, or fewer than --out has, keep the section that is
    there: results of many machines and days can come one after another. Pictures go beside it.

    \b
    Example:
      python -m benchmarks.selection --data DIR > costs.json
      python -m benchmarks.quality report results.jsonl --costs costs.json
        --out docs/benchmarks.md
    """
    for path in results:
        if not path.exists():
            msg = f"there is no {path}; give files that `run --out` has written"
            raise SourceError(msg)
    made = {} if costs is None else {COSTS: costs_section(read_costs(costs))}
    paths = {path.stem: path for path in (*sorted(PLANS.glob("*.toml")), *plans)}
    written = [
        Written(_shown(path), _chosen_plan(path, (), is_quick=quick), quick)
        for path in paths.values()
    ]
    lines, before = read_results(results), read_sections(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    sections = update_sections(written, lines, before, out) | made
    for remark in left_out(written, lines, before):
        click.echo(remark, err=True)
    call = f"python -m benchmarks.quality report RESULTS --out {out.parent.name}/{out.name}"
    call += " --quick" * quick
    out.write_text(make_report(written, sections, call), encoding="utf-8")
    click.echo(f"{len(sections)} sections in {out}, and pictures beside it")


def _shown(path: Path) -> Path:
    """Return the path of a plan as a reader has it: one of ours in the project."""
    root = PLANS.parents[1]
    return path.relative_to(root) if path.is_relative_to(root) else path


def _written(
    missing: Sequence[Trial], folders: Sequence[Path], out: Path, *, workers: int, device: str
) -> Iterator[Line]:
    """Yield the line of each trial when it is in the file, and has been told of."""
    started, left = time.perf_counter(), {trial.key: trial for trial in missing}
    whole = expected_seconds(missing)
    lines = run_all(missing, folders, workers=workers, device=device)
    with appending(out) as results, interrupted_once(), closing(lines):
        for line in lines:
            results.append(line)
            trial = left.pop(line["key"])
            rest = expected_seconds(list(left.values()))
            remaining = seconds_left(time.perf_counter() - started, whole, rest, workers)
            click.echo(_progress(trial, line, len(left), remaining), err=True)
            yield line


def _trials(number: int) -> str:
    """Return a number of trials in words."""
    return f"{number} trial" if number == 1 else f"{number} trials"


def _progress(trial: Trial, line: Line, left: int, seconds: float) -> str:
    """Return how one trial went, and what is left."""
    score = line["error"] or f"{100 * line['accuracy']:.1f} %"
    return f"{left} left, about {in_words(seconds)} | {trial.describe()}: {score}"


def _chosen_plan(path: Path, names: Sequence[str], *, is_quick: bool) -> Plan:
    """Return a plan, some of its groups, or a small version of it."""
    found = read_plan(path)
    groups = tuple(map(found.group, names)) or found.groups
    return replace(found, groups=tuple(map(_quick, groups)) if is_quick else groups)


def _quick(group: Group) -> Group:
    """Return a group with one seed, one budget and few steps."""
    steps = min(group.train.get("steps", QUICK_STEPS), QUICK_STEPS)
    return replace(
        group,
        seeds=group.seeds[:1],
        budgets=group.budgets[:1],
        with_full=False,
        train=group.train | {"steps": steps},
    )


if __name__ == "__main__":
    call(main)
