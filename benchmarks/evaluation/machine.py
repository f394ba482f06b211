"""What numbers were measured on: the machine, the packages and the code, and all that in words."""

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("echo-stream", "numpy", "scikit-learn", "torch")  # these tell machines apart
OTHERS = ("apricot-select", "numba", "river", "scipy")  # of selectors; old results lack them
ROOT = Path(__file__).parents[2]
DESCRIBE = ("git", "--no-optional-locks", "describe", "--always", "--exclude=*", "--dirty=+")

Found = Mapping[str, Any]
"""What `machine` has found, with the `device` of a training or without."""


@cache
def machine() -> dict[str, Any]:
    """Return what numbers are measured on, as it was when a process first asked.

    `cpu`, `cores`, `python`, the versions of those `packages` that are installed and, in a
    checkout, `commit`, with "+" where files differ from it.
    """
    found = {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": _versions((*PACKAGES, *OTHERS)),
    }
    commit = commit_of(ROOT)
    return found if commit is None else found | {"commit": commit}


def commit_of(root: Path) -> str | None:
    """Return the short hash of a checkout, with "+" where tracked files differ; None of others."""
    if not (root / ".git").exists():  # git would find a checkout that the folder lies in
        return None
    try:
        told = subprocess.run(DESCRIBE, cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no commit
        return None
    return told.stdout.strip()


def machine_in_words(found: Found) -> str:
    """Return what tells a machine from others."""
    packages = ", ".join(
        f"{name} {number}" for name, number in found["packages"].items() if name not in OTHERS
    )
    trained = f"training on {found['device']}, " if "device" in found else ""
    return (
        f"{found['cores']} cores of {found['cpu']}, {trained}Python {found['python']}, {packages}"
    )


def others_in_words(found: Found) -> list[str]:
    """Return the packages of selectors, which tell no machine from another."""
    return [f"{name} {found['packages'][name]}" for name in OTHERS if name in found["packages"]]


def _versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
