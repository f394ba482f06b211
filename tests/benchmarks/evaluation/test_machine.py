"""What numbers were measured on, as it is found and as it is told."""

import subprocess
from pathlib import Path

from benchmarks.evaluation.machine import (
    commit_of,
    machine,
    machine_in_words,
    others_in_words,
)
from tests.support.benchmarks.made_lines import MACHINE

ON_ABACUS = "2 cores of Abacus, training on cpu, Python 3.11, torch 2.0"


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, as somebody."""
    someone = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *someone, *arguments], cwd=folder, check=True, capture_output=True)


def test_packages_are_those_that_are_installed() -> None:
    """With those that the selectors need."""
    assert {"echo-stream", "numpy", "scipy", "torch"} <= machine()["packages"].keys()


def test_a_checkout_has_a_commit(tmp_path: Path) -> None:
    """And a sign where a tracked file differs from it; a folder inside is none."""
    assert commit_of(tmp_path) is None
    git(tmp_path, "init")
    assert commit_of(tmp_path) is None
    tracked = tmp_path / "tracked"
    tracked.write_text("as it was", encoding="utf-8")
    git(tmp_path, "add", "tracked")
    git(tmp_path, "commit", "-m", "Begin")
    git(tmp_path, "tag", "-a", "-m", "One", "v1")
    (tmp_path / "untracked").mkdir()
    clean = commit_of(tmp_path)
    assert clean is not None
    assert set(clean) <= set("0123456789abcdef")
    assert len(clean) >= 7
    tracked.write_text("otherwise", encoding="utf-8")
    assert commit_of(tmp_path) == f"{clean}+"
    assert commit_of(tmp_path / "untracked") is None


def test_packages_of_selectors_part_no_machine_in_two() -> None:
    """They are told apart; another version of the others makes another machine."""
    later = MACHINE | {"packages": {"torch": "2.0", "river": "1.0", "scipy": "1.1"}}
    assert machine_in_words(later) == machine_in_words(MACHINE) == ON_ABACUS
    assert others_in_words(later) == ["river 1.0", "scipy 1.1"]
    assert machine_in_words(MACHINE | {"packages": {"torch": "2.1"}}) != ON_ABACUS
