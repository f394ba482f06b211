"""Where records, plans and pages are, and the writing of all pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.evaluation.plan import Plan
from benchmarks.evaluation.plan_files import read_plan
from benchmarks.report.pages import pages, pictures, readme_table, with_table
from benchmarks.report.pictures import draw
from benchmarks.report.records import Record

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "results" / "results.jsonl"
PAGES = ROOT / "docs" / "benchmarks"
README = ROOT / "README.md"
PLANS = ROOT / "benchmarks" / "plans"


def read_plans(others: Sequence[Path] = ()) -> dict[str, Plan]:
    """Return all plans of ours by name, and others."""
    return {path.stem: read_plan(path) for path in (*sorted(PLANS.glob("*.toml")), *others)}


def write_pages(plans: Mapping[str, Plan], records: Sequence[Record], out: Path) -> list[str]:
    """Write pages and pictures into a folder; return their names."""
    out.mkdir(parents=True, exist_ok=True)
    written = pages(plans, records)
    for name, text in written.items():
        (out / name).write_text(text, encoding="utf-8")
    drawn = pictures(plans, records)
    for name, panels in drawn.items():
        draw(panels, out / name)
    return [*written, *drawn]


def write_readme(plans: Mapping[str, Plan], records: Sequence[Record], readme: Path) -> None:
    """Write the table of a README, if it has markers for one."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(with_table(text, readme_table(plans, records)), encoding="utf-8")
