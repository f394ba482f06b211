"""Make all pages, their pictures and the README's table of the records.

Run `python -m benchmarks.report`.
"""

import click

from benchmarks.command import call
from benchmarks.report.records import read_records
from benchmarks.report.writing import (
    PAGES,
    README,
    RECORDS,
    read_plans,
    write_pages,
    write_readme,
)


@click.command()
def main() -> None:
    """Write docs/benchmarks and the table in the README, of benchmarks/results/results.jsonl."""
    plans, records = read_plans(), read_records(RECORDS)
    names = write_pages(plans, records, PAGES)
    write_readme(plans, records, README)
    click.echo(f"{len(names)} files in {PAGES}, and the table in {README}")


if __name__ == "__main__":
    call(main)
