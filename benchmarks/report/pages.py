"""Pages in Markdown: one for each plan, one on costs, an index, and the README's table."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.evaluation.plan import Group, Picture, Plan
from benchmarks.evaluation.results import METRICS
from benchmarks.report import tables, words
from benchmarks.report.costs import PLAN as COSTS
from benchmarks.report.pictures import Panel, panels
from benchmarks.report.records import Record
from echo_stream.errors import ConfigError

TEMPLATES = Path(__file__).with_name("templates")
HIGHLIGHTS = Path(__file__).with_name("highlights.toml")  # the rows of the README's table
MARKED = re.compile(r"(<!-- results:begin -->\n).*?(<!-- results:end -->)", re.DOTALL)

Plans = Mapping[str, Plan]


def pages(plans: Plans, records: Sequence[Record]) -> dict[str, str]:
    """Return all pages by file name: of the plans that have records, and the index.

    Parameters
    ----------
    plans : mapping of str to Plan
        By name.
    records : sequence of Record
    """
    of_plan = {name: [r for r in records if r.get("plan") == name] for name in (*plans, COSTS)}
    shown = {name: plan for name, plan in plans.items() if of_plan[name]}
    found = {f"{name}.md": _plan_page(name, plan, of_plan[name]) for name, plan in shown.items()}
    if of_plan[COSTS]:
        found[f"{COSTS}.md"] = _filled("costs.md", **_costs(of_plan[COSTS]))
    quoted = [record for record in records if record["kind"] == "quoted"]
    if quoted:
        found["published.md"] = _filled("published.md", rows=quoted)
    verdicts = {name: _verdicts(own) for name, own in of_plan.items() if own}
    runs = [r for r in records if r["kind"] == "run" and r["plan"] in shown]
    found["index.md"] = _filled(
        "index.md", plans=shown, verdicts=verdicts, quoted=quoted, runs=runs
    )
    return found


def pictures(plans: Plans, records: Sequence[Record]) -> dict[str, list[Panel]]:
    """Return the panels of all pictures by file name; those without any are left out."""
    found: dict[str, list[Panel]] = {}
    for name, plan in plans.items():
        groups = _groups(plan, [r for r in records if r.get("plan") == name])
        found |= {_file(picture): panels(picture, groups) for picture in plan.pictures}
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


def _plan_page(name: str, plan: Plan, records: Sequence[Record]) -> str:
    """Return the page of a plan."""
    groups = _groups(plan, records)
    return _filled(
        "plan.md",
        name=name,
        plan=plan,
        groups=list(groups.values()),
        runs={r["group"]: r for r in records if r["kind"] == "run"},
        floors=[r for r in records if r["kind"] == "floor"],
        verdicts=_verdicts(records),
        rankings=[(r, rows) for r in plan.rankings if (rows := _ranks(r.name, records))],
        pictures=[(p, _file(p)) for p in plan.pictures if panels(p, groups)],
    )


def _groups(plan: Plan, records: Sequence[Record]) -> dict[str, tables.Found]:
    """Return what is known of a plan's groups by name, in its order."""
    found = {}
    for group in plan.groups:
        own = [record for record in records if record.get("group") == group.name]
        if own:
            found[group.name] = tables.Found.of(group, own)
    return found


def _file(picture: Picture) -> str:
    """Return the name of a picture's file."""
    return f"{picture.name}.png"


def _ranks(ranking: str, records: Sequence[Record]) -> list[Record]:
    """Return the records of a ranking."""
    return [r for r in records if r["kind"] == "rank" and r["ranking"] == ranking]


def _verdicts(records: Sequence[Record]) -> Counter[str]:
    """Return how many floors are met, met by their error or medians alone, and missed."""
    return Counter(record["verdict"] for record in records if record["kind"] == "floor")


def _costs(records: Sequence[Record]) -> dict[str, Any]:
    """Return the records on costs by kind."""
    kinds = ("run", "cost-beside", "cost-by-budget", "cost-growth", "cost-missing", "cost-stream")
    found = {
        kind.replace("cost-", "").replace("-", "_"): [r for r in records if r["kind"] == kind]
        for kind in (*kinds, "floor")
    }
    return found | {"verdicts": _verdicts(records)}


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


def _legend(group: Group) -> str:
    """Return what the labels of selectors with options stand for; nothing without any."""
    return "; ".join(
        f"*{choice.label}* is `{choice.name}` with "
        + ", ".join(f"{name} = {json.dumps(value)}" for name, value in choice.options.items())
        for choice in group.selectors
        if choice.options
    )


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
    environment.globals |= {"tables": tables, "words": words, "metrics": METRICS, "legend": _legend}
    environment.filters |= {"budget_name": words.budget_name, "metric_name": words.metric_name}
    environment.tests["endswith"] = str.endswith
    text = environment.get_template(f"{template}.jinja").render(**values)
    return re.sub(r"\n{3,}", "\n\n", text)
