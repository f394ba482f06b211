"""What a table calls a selector: its label, what it looked at, and of how few seeds it is."""

from collections.abc import Collection, Mapping

from benchmarks.evaluation.plan import Choice, Group
from benchmarks.evaluation.results import Line, labels_seen


def row_name(
    group: Group, choice: Choice, cells: Collection[Mapping[int, Line]], recipe: str = ""
) -> str:
    """Return the name of a row.

    Parameters
    ----------
    group : Group
    choice : Choice
    cells : collection of mapping
        The row's lines by seed, cell by cell.
    recipe : str
        Where the table has several.
    """
    name = f"{choice.label}, {recipe}" if recipe else choice.label
    counts = [len(lines) for lines in cells]
    seen = max((labels_seen(line) for lines in cells for line in lines.values()), default=0)
    if seen:
        name += f" (chooses by {seen:,} labels)"
    if min(counts) < len(group.seeds):
        number = "-".join(map(str, sorted({min(counts), max(counts)})))
        name += f" [{number} {'seed' if max(counts) == 1 else 'seeds'}]"
    return name
