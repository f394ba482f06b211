"""What numbers were measured on, as it is found and as it is told."""

import subprocess
from pathlib import Path

from benchmarks.evaluation.machine import commit_of, machine, machine_lines
from tests.benchmarks.made_lines import MACHINE

ON_ABACUS = "trials on 2 cores of Abacus, training on cpu, Python 3.11, torch 2.0\n"


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


def test_commits_part_no_machine_in_two() -> None:
    """Nor do packages that only some results name; another version of the first ones does."""
    later = MACHINE | {"packages": {"torch": "2.0", "river": "1.0", "scipy": "1.1"}}
    mixed = [
        MACHINE,
        later | {"commit": "3921cbf"},
        later | {"commit": "86408ac+"},
        later | {"commit": "3921cbf", "packages": {"torch": "2.0", "river": "1.2"}},
    ]
    assert machine_lines(mixed) == [
        f"- 4 {ON_ABACUS}",
        "- other packages: river 1.0, river 1.2, scipy 1.1\n",
        "- commits: 3921cbf, 86408ac+ (1 of 4 trials: not known)\n",
    ]
    assert machine_lines([MACHINE] * 3) == [f"- 3 {ON_ABACUS}", "- commit not known\n"]
    parted = machine_lines([MACHINE, MACHINE | {"packages": {"torch": "2.1"}}])
    assert [line.startswith("- 1 trials on ") for line in parted] == [True, True, False]
