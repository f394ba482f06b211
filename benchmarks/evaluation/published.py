"""What the ECHO paper prints of itself and others: quoted here, not measured."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("published.toml")


@dataclass(frozen=True, slots=True)
class Row:
    """One method: accuracies and deviations in per cent, a number for each budget."""

    name: str
    accuracies: tuple[float, ...]
    deviations: tuple[float, ...]
    fidelity: float


@dataclass(frozen=True, slots=True)
class Published:
    """A table of the paper.

    Attributes
    ----------
    source : str
    full : float
        Accuracy with all data, in per cent.
    budgets : tuple of float
        Shares of the data.
    rows : tuple of Row
    """

    source: str
    full: float
    budgets: tuple[float, ...]
    rows: tuple[Row, ...]


def read_published() -> Published:
    """Return the paper's Table I."""
    content = tomllib.loads(PATH.read_text(encoding="utf-8"))
    rows = [
        Row(
            entry["name"],
            tuple(float(cell.partition("±")[0]) for cell in entry["cells"].split()),
            tuple(float(cell.partition("±")[2]) for cell in entry["cells"].split()),
            entry["fidelity"],
        )
        for entry in content["row"]
    ]
    return Published(content["source"], content["full"], tuple(content["budgets"]), tuple(rows))
