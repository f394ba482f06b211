"""The section of one group: all that is known of it, which stands by itself in a report."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.evaluation.contests import by_pair, wins_and_losses
from benchmarks.evaluation.floor_table import floor_table
from benchmarks.evaluation.machine import machine_lines
from benchmarks.evaluation.plan import Group, Plan
from benchmarks.evaluation.plots import draw
from benchmarks.evaluation.ranks import Ranking
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.revisions import revised, revisions_of
from benchmarks.evaluation.tables import group_tables

PROGRESS = re.compile(r"^(\d+) of \d+ trials are done", re.MULTILINE)


class Written(NamedTuple):
    """A plan, the file that it was read from, and whether it is the small version of it."""

    path: Path
    plan: Plan
    is_quick: bool = False

    def section_name(self, part: Group | Ranking) -> str:
        """Return what the section of a group or a ranking is found by."""
        return f"{self.path.stem}/{part.name}"


def make_section(
    written: Written,
    group: Group,
    results: Mapping[str, Line],
    *,
    target: Path,
    floors: Sequence[str],
) -> str:
    """Return the section of a group, in Markdown; draw its picture beside target.

    Parameters
    ----------
    written : Written
        The group's plan.
    group : Group
    results : mapping of str to Line
        By key, see `benchmarks.evaluation.results.read_results`.
    target : Path
        Where the report is to be.
    floors : sequence of str
        See `benchmarks.evaluation.floor_table.floor_rows`.
    """
    parts = [f"### {group.title}\n", f"{group.protocol}. {group.note}".strip() + "\n"]
    parts += [*_legend(group), _progress(written, group, results), _setting(group, results)]
    picture = target.with_name(f"{target.stem}-{group.name}.png")
    if draw(group, results, picture):
        parts.append(f"![{group.title}]({picture.name})\n")
    parts += group_tables(group, results)
    parts += _balance(group, results) if group.ours else []
    return "\n".join([*parts, floor_table(floors)] if floors else parts)


def done(group: Group, results: Mapping[str, Line]) -> list[Line]:
    """Return the lines of a group's trials that have not failed."""
    return [line for line in _lines(group, results) if line["error"] is None]


def failures(group: Group, results: Mapping[str, Line]) -> list[str]:
    """Return what a group's trials that have failed failed by."""
    return [line["error"] for line in _lines(group, results) if line["error"] is not None]


def num_done(section: str) -> int:
    """Return the number of trials that a section says it is of.

    Examples
    --------
    >>> num_done("90 of 150 trials are done, of 10 of 10 seeds"), num_done("")
    (90, 0)
    """
    found = PROGRESS.search(section)
    return int(found[1]) if found else 0


def _lines(group: Group, results: Mapping[str, Line]) -> list[Line]:
    """Return the lines of a group's trials, in the order of the plan."""
    return [results[trial.key] for trial in group.all_trials() if trial.key in results]


def _legend(group: Group) -> list[str]:
    """Return what the labels of selectors with options stand for, in a line; none without any."""
    said = [
        f"*{choice.label}* is `{choice.name}` with "
        + ", ".join(f"{name} = {json.dumps(value)}" for name, value in choice.options.items())
        for choice in group.selectors
        if choice.options
    ]
    return [f"{'; '.join(said)}.\n"] if said else []


def _progress(written: Written, group: Group, results: Mapping[str, Line]) -> str:
    """Return how much of a group is done, and how it is run."""
    lines, planned = done(group, results), len(group.all_trials())
    seeds = len({line["trial"]["seed"] for line in lines})
    call = (
        f"python -m benchmarks.quality run {written.path} --group {group.name} "
        f"{'--quick ' if written.is_quick else ''}--data DIR --out FILE"
    )
    return (
        f"{len(lines)} of {planned} trials are done, of {seeds} of {len(group.seeds)} seeds; "
        f"`{call}` runs them.\n"
    )


def _setting(group: Group, results: Mapping[str, Line]) -> str:
    """Return what the numbers were measured on, and what failed."""
    parts = machine_lines([line["machine"] for line in done(group, results)])
    parts += revised(revisions_of({choice.name for choice in group.selectors}))
    if errors := failures(group, results):
        parts.append(f"- trials that failed: {len(errors)}, such as: {errors[0]}\n")
    return "".join(parts)


def _balance(group: Group, results: Mapping[str, Line]) -> list[str]:
    """Return the losses and the wins, and why it is so, if the plan says it."""
    wins, losses = wins_and_losses(group, results)
    parts = []
    for word, found in (("Lost", losses), ("Won", wins)):
        parts.append(f"**{word}: {len(found)}**\n")
        parts += ["".join(f"- {text}\n" for text in by_pair(found))] if found else []
    return [*parts, f"Why: {group.why.strip()}\n"] if group.why else parts
