"""What a process takes before it counts anything.

Run `python -m benchmarks.speed.memory`. Prints JSON: the MiB that each library adds when it is
imported, one after the other, of memory that no file backs, and of pages of files, which
processes share and the system takes back.
"""

import json
import subprocess
import sys

import click

from benchmarks.command import call
from benchmarks.evaluation.machine import machine

IMPORTS = """
import json, re
from importlib import import_module
from pathlib import Path

def memory():
    told = Path("/proc/self/smaps_rollup").read_text()
    anonymous, resident = (int(re.search(f"{name}: +([0-9]+)", told)[1]) / 1024
                           for name in ("Anonymous", "Rss"))
    return anonymous, resident - anonymous

stages = {"python": [], "torch": ["torch"],
          "scikit-learn, SciPy, pandas, Arrow": ["sklearn.base", "pyarrow.parquet"],
          "Kafka client": ["kafka"],
          "echo-stream": ["echo_stream.connectors.app.consumer",
                          "echo_stream.connectors.kafka.source"]}
found, before = {}, (0, 0)
for stage, names in stages.items():
    for name in names:
        import_module(name)
    after = memory()
    found[stage] = [round(b - a) for a, b in zip(before, after)]
    before = after
print(json.dumps(found))
"""


@click.command()
def main() -> None:
    """Import one library after the other in a process of its own."""
    ran = subprocess.run([sys.executable, "-c", IMPORTS], stdout=subprocess.PIPE, check=True)
    result = {"machine": machine(), "mib: anonymous, files": json.loads(ran.stdout)}
    click.echo(json.dumps(result, indent=2))


if __name__ == "__main__":
    call(main)
