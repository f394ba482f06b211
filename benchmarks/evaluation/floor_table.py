"""The table of floors, its rows made of results or found in the text of a section."""

from collections.abc import Collection, Iterable, Mapping

from benchmarks.evaluation.floors import Floor
from benchmarks.evaluation.plan import Group, Plan
from benchmarks.evaluation.results import Line
from benchmarks.evaluation.revisions import revised, revisions_of
from benchmarks.evaluation.scores import MISSING
from benchmarks.evaluation.tables import markdown, row_text
from benchmarks.evaluation.verdicts import Verdict, verdict

ASKED_SEEDS = 10

HEAD = markdown(["floor", "asked", "reached", "seeds", ""], [])


def floor_table(rows: Iterable[str]) -> str:
    """Return a table of rows that are Markdown already."""
    return HEAD + "".join(f"{row}\n" for row in rows)


def rows_in(section: str) -> list[str]:
    """Return the rows of a section's table of floors, which is its end; none without one."""
    return section.partition(HEAD)[2].splitlines()


def floor_rows(
    plan: Plan, group: Group, results: Mapping[str, Line], *, before: str, anew: Collection[str]
) -> list[str]:
    """Return the rows of a group's floors, those that are missed in bold.

    Parameters
    ----------
    plan : Plan
    group : Group
    results : mapping of str to Line
    before : str
        The group's section until now.
    anew : collection of str
        Names of groups that are shown by these results. The row of a floor against another
        group stays as it is, unless it is of older revisions.
    """
    is_current = "".join(revised(revisions_of({c.name for c in group.selectors}))) in before
    rows = []
    for floor in plan.floors:
        if floor.group == group.name:
            is_apart = floor.against_group not in (None, *anew)
            kept = _row_in(before, floor) if is_apart and is_current else None
            rows.append(kept or _row(verdict(floor, plan, results)))
    return rows


def all_rows(plan: Plan, sections: Mapping[str, str]) -> list[str]:
    """Return the rows of all floors of a plan, as the sections of its groups have them.

    Parameters
    ----------
    plan : Plan
    sections : mapping of str to str
        Text by name of group.
    """
    found = ((floor, _row_in(sections.get(floor.group, ""), floor)) for floor in plan.floors)
    return [row or _row(Verdict(floor, None, "")) for floor, row in found]


def _row(judged: Verdict) -> str:
    """Return a floor with its verdict."""
    floor, found, where, is_final = judged
    # Two digits: where an error decides, one would look alike on either side.
    reached = MISSING if found is None else found.text(digits=2, sign="+")
    word = "not measured" if found is None else found.judged(floor.at_least)
    if found is not None and not is_final:
        word += " so far"
    elif found is not None and found.num_seeds < ASKED_SEEDS:
        word += f", of fewer seeds than {ASKED_SEEDS}"
    seeds = MISSING if found is None else str(found.num_seeds)
    text = f"{floor.text} ({where})" if where else floor.text
    return row_text([text, f"{floor.at_least:+g}", reached, seeds, word])


def _row_in(section: str, floor: Floor) -> str | None:
    """Return the row that a section has for a floor, if any."""
    beginnings = (f"| {floor.text} |", f"| {floor.text} (")
    return next((line for line in section.splitlines() if line.startswith(beginnings)), None)
