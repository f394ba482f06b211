"""Records: what was measured, one JSON line each, which all pages are made of.

Every record has a `kind`. `plan` and `group` name what was measured, see `benchmarks/plans`;
fields that are 0 or not known are left out. Numbers are in the unit that pages show.

run
    How a group was measured: `trials` that are done, of those `planned` and `failed`, `seeds`,
    `machines` with their numbers of trials, `packages`, `commits` (of `commit_unknown` trials
    it is not known), `revisions` of selectors.
cell
    What the seeds of one cell come to: `data`, `model`, `order` of the stream or "at once",
    `recipe` of the training, `selector`, `budget`, `size` (samples chosen, where the budget is
    a share), `labels` (where other than these), `labels_seen` (looked at in choosing), trainings
    that have `learnt_nothing` or `diverged`, `metrics`: `mean` and `sd` over seeds, `gain` over
    the group's baseline, paired by seed, with its standard error `gain_error`; `beside`: by
    metric and rival the `difference` and its `error`, where ours is above or below by more.
floor
    What was asked of a `selector` `against` another: `text`, `asked`, `reached`, `error`,
    `seeds`, `verdict`; where each cell has to reach it, the `worst` of those `measured`.
rank
    The `mean_rank` of a `selector` in a `ranking`, over `cells`; none of one that is told labels.
fidelity
    The paper's integrated fidelity `score` of a `selector` over the budgets of a group.
cost-…
    What a selection takes, see `benchmarks.selection.records`.
quoted
    A row of the paper's Table I.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from echo_stream.connectors.files.errors import naming
from echo_stream.errors import DataError

Record: TypeAlias = dict[str, Any]


def read_records(path: Path) -> list[Record]:
    """Return the records of a file, none if it is not there.

    Raises
    ------
    DataError
        If a line is no record.
    """
    if not path.exists():
        return []
    found = []
    with naming(path):
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                record = json.loads(text)
            except ValueError:
                record = None
            if not (isinstance(record, dict) and "kind" in record):
                msg = f"line {number} is no record; run `python -m benchmarks.quality report` again"
                raise DataError(msg)
            found.append(record)
    return found


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records, one a line, without what is 0 or not known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def merged(old: Sequence[Record], new: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Return records in which those of new groups and rankings are in the place of the old.

    Groups share trials: results of one may have a few of another. A group of which more trials
    were done, and are still planned, stays as it is; so does a ranking over more cells.

    Returns
    -------
    list of Record
        In the old order, what is new at the end.
    list of str
        What stays though there is something new, in words.
    """
    parts, fresh = _by_part(old), _by_part(new)
    remarks = []
    for name, records in fresh.items():
        before, now = (_extent(each) for each in (parts.get(name, []), records))
        if now[0] < before[0] <= now[1]:
            told = "/".join(map(str, name))
            remarks.append(f"{told} stays as it is, of {before[0]:,}; the results have {now[0]:,}")
        else:
            parts[name] = records
    return [record for records in parts.values() for record in records], remarks


def _by_part(records: Iterable[Record]) -> dict[tuple[Any, ...], list[Record]]:
    """Return records by plan and group or ranking."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        name = (record.get("plan", record["kind"]), record.get("group") or record.get("ranking"))
        found.setdefault(tuple(part for part in name if part), []).append(record)
    return found


def _extent(records: Sequence[Record]) -> tuple[int, int]:
    """Return how many trials or cells a group or ranking is of, and how many are planned."""
    counted = (r for r in records if "planned" in r)
    first = next(counted, {})
    return first.get("trials") or first.get("cells", 0), first.get("planned", 0)
