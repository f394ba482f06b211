"""Pages in Markdown: one for each plan, one on costs, an index, and the README's table."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.evaluation.plan import Plan
from benchmarks.evaluation.results import METRICS
from benchmarks.report import tables, words
from benchmarks.report.pictures import Panel, panels
from benchmarks.report.records import Record
from echo_stream.errors import ConfigError

TEMPLATES = Path(__file__).with_name("templates")
HIGHLIGHTS = Path(__file__).with_name("highlights.toml")  # the rows of the README's table
COSTS = "selection"  # the plan of records on what a selection takes
MARKED = re.compile(r"(<!-- results:begin -->\n).*?(<!-- results:end -->)", re.DOTALL)

Plans = Mapping[str, Plan]
Kinds = dict[str, list[Record]]


def pages(plans: Plans, records: Sequence[Record]) -> dict[str, str]:
    """Return all pages by file name: of the plans that have records, and the index.

    Parameters
    ----------
    plans : mapping of str to Plan
        By name.
    records : sequence of Record
    """
    kinds = {name: _kinds(records, name) for name in (*plans, COSTS)}
    shown = {name: plan for name, plan in plans.items() if kinds[name]}
    found = {
        f"{name}.md": _filled(
            "plan.md", name=name, plan=plan, kinds=kinds[name], groups=_groups(plan, kinds[name])
        )
        for name, plan in shown.items()
    }
    if kinds[COSTS]:
        found[f"{COSTS}.md"] = _filled("costs.md", kinds=kinds[COSTS])
    quoted = [record for record in records if record["kind"] == "quoted"]
    if quoted:
        found["published.md"] = _filled("published.md", rows=quoted)
    found["index.md"] = _filled("index.md", plans=shown, kinds=kinds, quoted=quoted)
    return found


def pictures(plans: Plans, records: Sequence[Record]) -> dict[str, list[Panel]]:
    """Return the panels of all pictures by file name; those without any are left out."""
    found: dict[str, list[Panel]] = {}
    for name, plan in plans.items():
        groups = _groups(plan, _kinds(records, name))
        found |= {f"{picture.name}.png": panels(picture, groups) for picture in plan.pictures}
    return {name: drawn for name, drawn in found.items() if drawn}


def readme_table(plans: Plans, records: Sequence[Record]) -> str:
    """Return the README's table: rows of `highlights.toml`, in Markdown.

    Raises
    ------
    ConfigError
        If a row is of what was not measured.
    """
    content = tomllib.loads(HIGHLIGHTS.read_text(encoding="utf-8"))
    return _filled("readme.md", rows=[_highlight(row, plans, records) for row in content["row"]])


def with_table(readme: str, table: str) -> str:
    r"""Return a README with a table between its markers; without markers, as it is.

    Examples
    --------
    >>> with_table("a\n<!-- results:begin -->\nold\n<!-- results:end -->\n", "new\n")
    'a\n<!-- results:begin -->\nnew\n<!-- results:end -->\n'
    """
    return MARKED.sub(lambda found: f"{found[1]}{table}{found[2]}", readme)


def _kinds(records: Sequence[Record], plan: str) -> Kinds:
    """Return the records of a plan by kind."""
    found: Kinds = defaultdict(list)
    for record in records:
        if record.get("plan") == plan:
            found[record["kind"]].append(record)
    return found


def _groups(plan: Plan, kinds: Kinds) -> dict[str, tables.Found]:
    """Return what is known of a plan's groups by name, in its order."""
    known = {run["group"] for run in kinds["run"]} if kinds else set()
    found = {group.name: group for group in plan.groups if group.name in known}
    return {name: tables.Found.of(group, kinds) for name, group in found.items()}


def _highlight(row: Mapping[str, Any], plans: Plans, records: Sequence[Record]) -> dict[str, Any]:
    """Return a row of the README's table, with the cells of its selector and of the baseline."""
    place = {key: row[key] for key in ("plan", "group", "data", "order", "recipe", "budget")}
    baseline = plans[row["plan"]].group(row["group"]).baseline
    pair = []
    for selector in (baseline, row["selector"]):
        wanted = place | {"kind": "cell", "selector": selector}
        found = next((record for record in records if wanted.items() <= record.items()), None)
        if found is None or row["metric"] not in found["metrics"]:
            msg = f"highlight {row['text']!r}: {selector} was not measured there"
            raise ConfigError(msg)
        pair.append(found)
    theirs, ours = (cell["metrics"][row["metric"]] for cell in pair)
    return {**row, "labels": tables.num_labels(pair[1]), "theirs": theirs, "ours": ours}


def _filled(template: str, **values: Any) -> str:
    """Return a template with its values."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown, of our own records
    )
    environment.globals |= {"tables": tables, "words": words, "metrics": METRICS}
    names = (words.budget_name, words.metric_name, words.model_name)
    environment.filters |= {name.__name__: name for name in names}
    environment.tests["endswith"] = str.endswith
    text = environment.get_template(f"{template}.jinja").render(**values)
    return re.sub(r"\n{3,}", "\n\n", text)
