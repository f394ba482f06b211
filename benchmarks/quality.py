"""How good selections are, at equal numbers of labels: plans of trials, results, and reports.

    python -m benchmarks.quality plan benchmarks/plans/quick.toml
    python -m benchmarks.quality run benchmarks/plans/quick.toml --data DIR --out results.jsonl
    python -m benchmarks.quality report results.jsonl

`run` writes a line of JSON for each trial. Run it again after whatever has stopped it: trials
that have a line are skipped, those that failed are tried again. `report` puts what the lines of
each group come to into the project's records, and makes all pages of them.
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
from benchmarks.evaluation.estimates import by_data, expected_seconds, in_words, seconds_left
from benchmarks.evaluation.plan import Group, Plan
from benchmarks.evaluation.plan_files import read_plan
from benchmarks.evaluation.results import Line, appending, read_results, unfinished
from benchmarks.evaluation.trial import Trial
from benchmarks.evaluation.workers import run_all
from benchmarks.report.aggregate import plan_records
from benchmarks.report.records import merged, read_records, write_records
from benchmarks.report.writing import (
    PAGES,
    README,
    RECORDS,
    read_plans,
    write_pages,
    write_readme,
)
from echo_stream.errors import ConfigError, SourceError

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
    click.echo(f"all in {out}; `report {out}` makes pages of it", err=True)


@main.command()
@click.argument("results", nargs=-1, type=FILE)
@click.option("--records", default=RECORDS, type=FILE, help="Default: the project's.")
@click.option("--out", default=PAGES, type=FOLDER, help="Of the pages; default: docs/benchmarks.")
@click.option("--plan", "plans", multiple=True, type=FILE, help="Of your own, beside all of ours.")
@click.option("--costs", type=FILE, help="Records that benchmarks.selection has printed.")
@click.option("--quick", is_flag=True, help="Of what `run --quick` has written.")
def report(
    *,
    results: tuple[Path, ...],
    records: Path,
    out: Path,
    plans: tuple[Path, ...],
    costs: Path | None,
    quick: bool,
) -> None:
    """Put what RESULTS come to into the records, and make the pages of them again.

    A group of which RESULTS has no trial, or fewer than the records, stays as it is. A floor
    against another group needs the results of both.

    \b
    Example:
      python -m benchmarks.selection --data DIR > costs.jsonl
      python -m benchmarks.quality report results.jsonl --costs costs.jsonl
    """
    for path in filter(None, (*results, costs)):
        if not path.exists():
            msg = f"there is no {path}; give files that `run --out` or a benchmark has written"
            raise SourceError(msg)
    lines = read_results(results)
    if errors := [line["error"] for line in lines.values() if line["error"] is not None]:
        click.echo(f"{_trials(len(errors))} failed, such as by: {errors[0]}", err=True)
    known = {
        name: replace(plan, groups=tuple(map(_quick, plan.groups))) if quick else plan
        for name, plan in read_plans(plans).items()
    }
    new = [record for name, plan in known.items() for record in plan_records(name, plan, lines)]
    new += [] if costs is None else read_records(costs)
    if not new:
        msg = "no trial of a plan is done in these results; give others, their --plan, or --quick"
        raise ConfigError(msg)
    found, remarks = merged(read_records(records), new)
    for remark in remarks:
        click.echo(remark, err=True)
    write_records(records, found)
    names = write_pages(known, found, out)
    if records == RECORDS:
        write_readme(known, found, README)
    click.echo(f"{len(found):,} records in {records}; {len(names)} files in {out}")


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
