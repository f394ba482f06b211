"""Random samples of a stream: uniform, and balanced over the classes seen so far."""

from typing import Any

import numpy as np

from benchmarks.data import DataSet
from benchmarks.selectors.chosen import Chosen
from echo_stream._common.typing import IntArray
from echo_stream.errors import ConfigError


def reservoir(_: DataSet, order: IntArray, budget: int, seed: int, __: dict[str, Any]) -> Chosen:
    """Keep a uniform sample of all that has come."""
    return Chosen(uniform_sample(order, budget, seed))


def uniform_sample(order: IntArray, number: int, seed: int) -> IntArray:
    """Return a uniform sample of rows that come one by one. Source: Vitter (1985), Algorithm R."""
    rng = np.random.default_rng(seed)
    kept = order[:number].copy()
    for n, row in enumerate(order[number:].tolist(), start=number + 1):
        place = int(rng.integers(n))
        if place < number:
            kept[place] = row
    return kept


def num_held(options: dict[str, Any], n: int, budget: int) -> int:
    """Return how many payloads of a stream of n a selector may hold at any time.

    The option `held`, which counts everything: what is kept and what waits to be looked at.
    Without it, the option `share` (0.1) of the stream.

    Raises
    ------
    ConfigError
        If that leaves nothing to choose from.
    """
    if "held" not in options:
        return max(round(float(options.get("share", 0.1)) * n), budget + 1)
    held = int(options["held"])
    if held <= budget:
        msg = f"held must be more than the budget of {budget}; got {held}"
        raise ConfigError(msg)
    return held


def held_info(payloads: int, n: int) -> dict[str, Any]:
    """Return what a selector says that held so many payloads, of n, at most at any time."""
    return {"payloads_held": payloads, "held_share": payloads / n}


def cbrs(data: DataSet, order: IntArray, budget: int, seed: int, _: dict[str, Any]) -> Chosen:
    """Keep a class-balancing reservoir.

    A class that has once been the largest is full, from when the memory is. A sample of a class
    that is not takes the place of a random one of a largest class; one of a full class enters the
    sample of its own class, as in a reservoir. Source: Chrysakis & Moens (2020), "Online
    continual learning from imbalanced data", ICML, Algorithm 1.
    """
    rng = np.random.default_rng(seed)
    memory, seen, full = ClassMemory(), np.zeros(data.y_train.max() + 1, np.int64), set[int]()
    for row, label in zip(order.tolist(), data.y_train[order].tolist(), strict=True):
        seen[label] += 1
        if len(memory) < budget:
            memory.add(row, label)
            continue
        full |= memory.largest()
        if label not in full:
            memory.evict(rng)
            memory.add(row, label)
        elif rng.random() <= memory.count(label) / seen[label]:
            memory.replace(row, label, rng)
    return Chosen(memory.rows(), info={"labels_seen": len(order)})


def gdumb(data: DataSet, order: IntArray, budget: int, seed: int, _: dict[str, Any]) -> Chosen:
    """Keep a greedily balanced memory.

    A sample enters while its class has less than an even share of the budget among the classes
    seen so far; where the memory is full, in the place of a random one of a largest class. What
    is refused before later classes come is gone, and the memory may end with places left.
    Source: Prabhu, Torr & Dokania (2020), "GDumb", ECCV, Algorithm 1.
    """
    rng = np.random.default_rng(seed)
    memory = ClassMemory()
    for row, label in zip(order.tolist(), data.y_train[order].tolist(), strict=True):
        is_new = memory.count(label) == 0
        if memory.count(label) < budget / (memory.num_classes + is_new):
            if len(memory) == budget:
                memory.evict(rng)
            memory.add(row, label)
    return Chosen(memory.rows(), info={"labels_seen": len(order)})


class ClassMemory:
    """Rows by class, of which random ones of the largest class give way.

    Examples
    --------
    >>> memory = ClassMemory()
    >>> for row, label in enumerate("aab"):
    ...     memory.add(row, ord(label))
    >>> memory.evict(np.random.default_rng(0))
    >>> len(memory), memory.count(ord("a")), memory.rows().tolist()[-1]
    (2, 1, 2)
    """

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Return the number of rows kept."""
        return self._size

    @property
    def num_classes(self) -> int:
        """Classes of which there has been a row."""
        return len(self._rows)

    def count(self, label: int) -> int:
        """Return the rows kept of a class."""
        return len(self._rows.get(label, ()))

    def largest(self) -> set[int]:
        """Return the classes with the most rows."""
        most = max(map(len, self._rows.values()))
        return {label for label, rows in self._rows.items() if len(rows) == most}

    def rows(self) -> IntArray:
        """Return the rows kept, class by class."""
        return np.array([row for rows in self._rows.values() for row in rows], np.int64)

    def add(self, row: int, label: int) -> None:
        """Keep a row."""
        self._rows.setdefault(label, []).append(row)
        self._size += 1

    def replace(self, row: int, label: int, rng: np.random.Generator) -> None:
        """Put a row in the place of a random one of its class."""
        kept = self._rows[label]
        kept[int(rng.integers(len(kept)))] = row

    def evict(self, rng: np.random.Generator) -> None:
        """Let go a random row of a random one of the largest classes."""
        label = int(rng.choice(sorted(self.largest())))
        kept = self._rows[label]
        kept.pop(int(rng.integers(len(kept))))
        self._size -= 1
