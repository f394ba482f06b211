"""Settings: flags, then the environment, then a TOML file, then defaults; and errors that help."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from echo_stream.cli.main import cli
from echo_stream.cli.options.settings import settings_of
from tests import ROOT
from tests.support.commands import TINY, N, answer, refusal, run_command, units, write_data


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a settings file, named as a user would, that does not exist yet."""
    monkeypatch.chdir(tmp_path)
    return Path("echo.toml")


def shown(*words: object) -> dict[str, tuple[Any, str]]:
    """Return value and origin of each setting of a command."""
    return {row["setting"]: (row["value"], row["origin"]) for row in answer("config", *words)}


def test_flags_then_environment_then_table_then_top_then_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goes before those after it, and says where it came from."""
    file.write_text("budget = 1\nseed = 2\nepochs = 3\n[build]\nbudget = 4\nseed = 5\n")
    monkeypatch.setenv("ECHO_STREAM_BUDGET", "6")
    build = shown("show", "build", "--config", file)
    assert build["budget"] == (6, "ECHO_STREAM_BUDGET")
    assert build["seed"] == (5, "echo.toml")
    assert build["epochs"] == (3, "echo.toml")
    assert build["min_distance"] == (0.0, "default")
    assert shown("show", "run", "--config", file)["seed"] == (2, "echo.toml")
    data = write_data(Path("data.npz"))
    answer("build", data, "--out", "a", "--config", file, "--epochs", 0)
    made = answer("snapshots", "show", "--snapshot", "./a")["config"]
    assert (made["budget"], made["seed"], made["epochs"]) == (6, 5, 0)


def test_file_before_or_after_the_command_or_from_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest flag goes first, and any flag before the variable."""
    for number, name in enumerate(["a.toml", "b.toml", "c.toml"]):
        file.with_name(name).write_text(f"seed = {number}\n")
    monkeypatch.setenv("ECHO_STREAM_CONFIG", "a.toml")
    words = ["config", "show", "demo"]
    calls = {
        "a.toml": words,
        "b.toml": ["--config", "b.toml", *words],
        "c.toml": ["--config", "b.toml", *words, "--config", "c.toml"],
    }
    for number, (name, call) in enumerate(calls.items()):
        (seed,) = [row for row in answer(*call) if row["setting"] == "seed"]
        assert (seed["value"], seed["origin"]) == (number, name)


def test_every_command_shows_every_setting(file: Path) -> None:
    """None is left out, also of commands within a group, and the table says the same."""
    rows = answer("config", "show")
    listed = {(row["command"], row["setting"]) for row in rows}
    assert len(listed) == len(rows)
    assert {("run", key) for key in settings_of(cli.commands["run"])} <= listed
    assert {name.split()[0] for name, _ in listed} == set(cli.commands)
    assert ("snapshots plot", "overwrite") in listed
    assert "config" not in {key for _, key in listed}
    table = run_command("config", "show", "snapshots", "plot", "--format", "table")
    assert all(word in table.stdout for word in ("snapshots plot", "overwrite", "default"))
    assert not file.exists()


@pytest.mark.parametrize("command", ["build", "demo", "produce", "run", "train"])
def test_every_default_can_stand_in_the_file(file: Path, command: str) -> None:
    """A file with what `config show` says means the same, each value from the file."""
    before = {key: value for key, (value, _) in shown("show", command).items() if value is not None}
    assert before
    lines = [f"{key} = {json.dumps(value)}" for key, value in before.items()]
    file.write_text("\n".join([f"[{command}]", *lines]))
    after = shown("show", command, "--config", file)
    assert {key: after[key] for key in before} == {
        key: (value, "echo.toml") for key, value in before.items()
    }


def test_kinds_of_values(file: Path) -> None:
    """Lists, one text for a list, truth, intervals as numbers and as text, shapes, groups."""
    file.write_text(
        'topic = "a"\ncheckpoint_every = 20000\nstandardise = true\nsupport_share = 0\n'
        '[run]\ntopic = ["a", "b"]\nsnapshot_every = "never"\nshape = "2,3"\n'
        "[snapshots]\nformat = 'table'\n[snapshots.plot]\noverwrite = true\n"
    )
    run = shown("show", "run", "--config", file)
    values = {key: value for key, (value, origin) in run.items() if origin == "echo.toml"}
    assert values == {
        "topic": ["a", "b"],
        "checkpoint_every": 20_000,
        "snapshot_every": "never",
        "standardise": True,
        "support_share": 0.0,
        "shape": "2,3",
    }
    assert shown("show", "produce", "--config", file)["topic"] == ("a", "echo.toml")
    assert shown("show", "snapshots", "list", "--config", file)["format"] == ("table", "echo.toml")
    assert shown("show", "snapshots", "plot", "--config", file)["overwrite"] == (True, "echo.toml")


def test_text_for_a_list_of_one(file: Path) -> None:
    """A topic that commands share need not be a list for the one that takes several."""
    file.write_text('topic = "events"\n')
    assert shown("show", "run", "--config", file)["topic"] == (["events"], "echo.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("budgte = 1", "unknown setting 'budgte' in echo.toml; did you mean 'budget'?"),
        ("latent-dim = 2", "unknown setting 'latent-dim' in echo.toml; did you mean 'latent_dim'?"),
        ("[trian]", "did you mean 'train'?"),
        ("[run]\nshap = '2'", "unknown setting 'shap' in [run] of echo.toml; did you mean 'shape'"),
        ("[train]\nbudget = 1", "unknown setting 'budget' in [train] of echo.toml; "),
        ("[snapshots.plto]", "in [snapshots] of echo.toml; did you mean 'plot'?"),
        ("[snapshots.plot]\nqqq = 1", "'qqq' in [snapshots.plot] of echo.toml; `echo-stream conf"),
        ("config = 'other.toml'", "[config] in echo.toml must be a table of settings"),
        ("train = 3", "[train] in echo.toml must be a table of settings; got 3"),
        ("budget = 'many'", "'budget' in echo.toml must be a whole number for echo-stream run; g"),
        ("budget = 1.5", "must be a whole number for echo-stream run; got 1.5"),
        ("budget = true", "must be a whole number for echo-stream run; got True"),
        ("[run.budget]\nx = 1", "must be a whole number for echo-stream run; got {'x': 1}"),
        ("support_share = '0.1'", "must be a number for echo-stream run; got '0.1'"),
        ("until_end = 1", "must be true or false for echo-stream run; got 1"),
        ("preset = 1", "must be text (adaptive, fixed, paper) for echo-stream run; got 1"),
        ("cells = 'hexagons'", "'hexagons' is not one of 'grid', 'grid-budget', 'codebook'"),
        ("on_tombstone = true", "must be text (forget, ignore) for echo-stream run; got True"),
        ("topic = [1]", "must be text, or a list of texts for echo-stream run; got [1]"),
        ("checkpoint_every = 1.5", "must be a number of samples, or text such as \"30s\""),
        ("checkpoint_every = 'often'", "setting 'checkpoint_every' in echo.toml: an interval is"),
        ("start = 'now'", "setting 'start' in echo.toml: start must be earliest, latest"),
        ("bad_window = 0", "bad_window in echo.toml must be at least 1; got 0"),
        ("shape = 'wide'", "setting 'shape' in echo.toml: a shape is whole numbers"),
        ("budget = [", "cannot read settings from echo.toml: "),
        ("x = " + "[" * 5_000, "cannot read settings from echo.toml: "),
        ("budget = 0", "budget in echo.toml must be at least 1; got 0"),
        ("support = 2", "support in echo.toml 2 is not for preset adaptive; leave it out, or set"),
    ],
)  # fmt: skip
def test_wrong_settings(file: Path, content: str, words: str) -> None:
    """One line names file, setting, value and what is needed, before anything is done."""
    file.write_text(content)
    data = write_data(Path("data.npz"))
    line = refusal("run", data, "--state", "state", "--config", file, exit_code=2)
    assert words in line
    assert not Path("state").exists()


def test_file_that_is_no_text(file: Path) -> None:
    """Bytes that are no UTF-8 are no settings."""
    file.write_bytes(b"budget = '\xff'")
    line = refusal("config", "show", "--config", file, exit_code=2)
    assert "cannot read settings from echo.toml" in line


@pytest.mark.parametrize("path", ["missing.toml", "."])
def test_file_that_is_not_there(file: Path, path: str) -> None:
    """It is told by name, whichever place it was given at."""
    for call in (["--config", path, "config", "show"], ["config", "show", "--config", path]):
        assert f"'{path}'" in refusal(*call, exit_code=2)
    assert not file.exists()


@pytest.mark.parametrize("words", [["nonsense"], ["run", "nonsense"], ["snapshots", "nonsense"]])
def test_settings_of_no_command(words: list[str]) -> None:
    """A command that there is not is wrong usage."""
    assert "no command 'nonsense'" in refusal("config", "show", *words, exit_code=2)


def test_wrong_variable_is_shown_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command would refuse, `config show` refuses."""
    monkeypatch.setenv("ECHO_STREAM_BUDGET", "many")
    assert "ECHO_STREAM_BUDGET" in refusal("config", "show", "run", exit_code=2)


def test_errors_name_an_option_as_it_was_written(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a flag, a variable, or a setting of the file; other options as flags."""
    data = write_data(Path("data.npz"))
    build = ["build", data, "--out", "new"]
    wrong = "must be at least 1; got 0"
    assert f"Error: --latent-dim {wrong}" in refusal(*build, "--latent-dim", 0, exit_code=2)
    file.write_text("latent_dim = 0\n")
    line = refusal(*build, "--config", file, exit_code=2)
    assert f"Error: latent_dim in echo.toml {wrong}" in line
    monkeypatch.setenv("ECHO_STREAM_LATENT_DIM", "0")
    assert f"Error: ECHO_STREAM_LATENT_DIM {wrong}" in refusal(*build, exit_code=2)
    line = refusal(*build, "--latent-dim", 1, "--support", 1, exit_code=2)
    assert line == (
        "Error: --support 1 is not for preset adaptive; leave it out, or set --preset to paper"
    )
    by_class = ("--preset", "fixed", "--balance", "class", "--cells", "grid")
    line = refusal(*build, "--latent-dim", 1, *by_class, exit_code=2)
    assert line == (
        "Error: --balance class needs --cells codebook; got grid; leave one of them out, or set "
        "--preset to fixed"
    )
    line = refusal(*build, "--latent-dim", 1, "--rank", "latent_dim", exit_code=2)
    assert line.endswith("'latent_dim' is not one of 'center', 'uniform', 'mixed'.")
    taken = write_data(Path("latent_dim.npz"))
    assert "latent_dim.npz already" in refusal(
        "snapshots", "export", taken, "--snapshot", built(data), exit_code=2
    )


def built(data: Path) -> str:
    """Build a snapshot, and return its path."""
    answer("build", data, "--out", "made", "--latent-dim", 2, *TINY)
    return "./made"


def test_what_is_asked_for_goes_before_what_is_set_for_all(file: Path) -> None:
    """A folder of the file is not in the way of one named by a flag, nor is a topic of DATA."""
    file.write_text('state = "state"\ntopic = "events"\nbootstrap_servers = "localhost:1"\n')
    data = write_data(Path("data.npz"))
    answer("build", data, "--out", "made", "--config", file, *TINY)
    assert not Path("state").exists()
    report = answer("run", data, "--config", file, *TINY)
    assert units(Path("state/snapshots")) == report["snapshots"]
    file.write_text('out = "never"\n')
    answer("build", data, "--state", "other", "--config", file, *TINY)
    assert not Path("never").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("margin = 0", "Error: margin in echo.toml must be above 0; got 0"),
        (
            "seed = -1",
            "Error: seed in echo.toml must be at least 0 and at most 9223372036854775807; got -1",
        ),
        ("sample_weights = true", "must be text (auto, none, sqrt, full) for echo-stream train"),
        ("augment = 1", "must be text, or a list of texts (crop, flip) for echo-stream train"),
        ('optimiser = "sdg"', "'sdg' is not one of 'sgd', 'adam', 'adamw'"),
    ],
)
def test_training_beside_the_stream_reads_the_same_file(
    file: Path, setting: str, words: str
) -> None:
    """What `train` would refuse at the first training is refused at once.

    A run that trains nothing has no use for it.
    """
    file.write_text(f"[train]\n{setting}\n[run]\nwarmup = 50\nmodel = 'mlp'\n")
    run = ("run", write_data(Path("data.npz")), "--state", "state", "--config", file, *TINY)
    assert words in refusal(*run, "--retrain-every", 200, exit_code=2)
    assert not Path("state").exists()
    assert answer(*run)["n"] == N


def test_a_variable_of_the_training_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training beside a run reads the environment, too."""
    monkeypatch.setenv("ECHO_STREAM_LR", "-1")
    run = ("run", write_data(Path("data.npz")), "--state", "state", *TINY, "--warmup", 50)
    line = refusal(*run, "--retrain-every", 200, "--model", "mlp", exit_code=2)
    assert "Error: ECHO_STREAM_LR must be above 0; got -1" in line
    monkeypatch.setenv("ECHO_STREAM_LR", "fast")
    line = refusal(*run, "--retrain-every", 200, "--model", "mlp", exit_code=2)
    assert "ECHO_STREAM_LR" in line
    assert not file.exists()


def test_example_of_the_reference(file: Path) -> None:
    """The file that docs/reference/settings.md shows is one."""
    reference = ROOT / "docs/reference/settings.md"
    (example,) = re.findall(r"```toml\n(.*?)```", reference.read_text(encoding="utf-8"), re.S)
    file.write_text(example)
    run = shown("show", "run", "--config", file)
    assert run["topic"] == (["events", "more-events"], "echo.toml")
    assert run["snapshot_every"] == (100_000, "echo.toml")
    assert shown("show", "produce", "--config", file)["topic"] == ("events", "echo.toml")
