"""`echo-stream demo`: the whole story, as whoever tries the package first sees it."""

from pathlib import Path

import pytest

from tests.support.commands import Result, answer, content, run_command, units

pytestmark = pytest.mark.slow

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
STREAM_SAMPLES = 1_437


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the demo puts everything."""
    return tmp_path_factory.mktemp("demo") / "story"


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    """Return what the demo has said."""
    return run_command("demo", "--out", folder, "--budget", 30)


def test_result_is_json(result: Result, folder: Path) -> None:
    """Stdout is the outcome and nothing else; both models have learned."""
    assert result.exit_code == 0, result.stderr
    outcome = result.json()
    assert (outcome["state"], outcome["n"]) == (str(folder), STREAM_SAMPLES)
    presets = outcome["presets"]
    assert presets["adaptive"]["labels_used"] == 30 < presets["paper"]["labels_used"]
    # Ten digits: 0.1 is a guess.
    assert min(min(scores["accuracy"].values()) for scores in presets.values()) > 0.5


def test_steps_are_told(result: Result) -> None:
    """Stderr tells the story in its four steps."""
    starts = [line[:2] for line in result.stderr.splitlines() if not line.startswith(" ")]
    assert starts == ["1.", "2.", "3.", "4."]


def test_picture_is_there(result: Result) -> None:
    """The map can be looked at where the result says."""
    pictures = result.json()["pictures"]
    assert len(pictures) == 2
    for picture in pictures:
        assert Path(picture).read_bytes().startswith(PNG_MAGIC)


def test_state_is_like_any_other(result: Result, folder: Path) -> None:
    """The commands that the demo shows off work on what it leaves behind."""
    assert result.exit_code == 0
    listed = answer("snapshots", "list", "--state", folder)
    assert [snapshot["n"] for snapshot in listed] == [500, 1_000, STREAM_SAMPLES]
    sql = "SELECT count(*) AS core FROM coreset WHERE role = 'core'"
    assert answer("query", sql, "--state", folder) == [{"core": 30}]
    assert units(folder / "checkpoints")


def test_second_run_is_refused(result: Result, folder: Path) -> None:
    """A folder that exists is left as it is, with one line that says so."""
    assert result.exit_code == 0
    before = content(folder)
    again = run_command("demo", "--out", folder)
    assert (again.exit_code, again.stdout) == (4, "")
    errors = [line for line in again.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert f"{folder} already exists" in errors[0]
    assert "Traceback" not in again.stderr
    assert content(folder) == before
