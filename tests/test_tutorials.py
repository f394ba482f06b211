"""Every command of the README and of the tutorials runs, and prints what the page shows."""

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.support.crashes.environment import user_environment
from tests.support.documents import Step, files, steps
from tests.support.kafka.broker import Broker

pytestmark = pytest.mark.kafka

TUTORIALS = sorted((ROOT / "docs/tutorials").glob("*.md"))
DATA = ROOT / "docs/tutorials/kafka-to-model.md"  # where the README's files are made
SET_UP = ("make ", ". .venv/bin/activate", "mkdir ")  # what this session has done already
STEP_LIMIT_S = 300.0


def run_step(step: Step, folder: Path, broker: Broker) -> str:
    """Run a command as a reader would, in a shell, and return its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", step.command.replace("localhost:9092", broker.bootstrap)],
        cwd=folder, env={**user_environment(), "PATH": path}, timeout=STEP_LIMIT_S,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{step.command}\n{done.stderr}"
    return done.stdout


def follow(page: Path, folder: Path, broker: Broker) -> None:
    """Run the commands of a page one after another, and compare what each prints."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for step in steps(page):
        if not step.command.startswith(SET_UP):
            output = run_step(step, folder, broker)
            is_shown = doctest.OutputChecker().check_output(step.output, output, flags)
            assert is_shown or not step.output, f"{step.command}\n{output}"


def save_files(page: Path, folder: Path) -> None:
    """Save the files that a page asks the reader to save."""
    for name, content in files(page).items():
        (folder / name).write_text(content, encoding="utf-8")


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_works_from_its_first_command_to_its_last(
    page: Path, broker: Broker, tmp_path: Path
) -> None:
    """On a real broker, with the files that it shows."""
    save_files(page, tmp_path)
    follow(page, tmp_path, broker)


def test_the_commands_of_the_readme_work(broker: Broker, tmp_path: Path) -> None:
    """With the files that the tutorial makes."""
    save_files(DATA, tmp_path)
    run_step(Step("python digits.py", ""), tmp_path, broker)
    follow(ROOT / "README.md", tmp_path, broker)
