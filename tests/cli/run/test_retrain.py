"""`run` with a model beside the stream: whatever becomes of the trainer, samples are counted."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import TINY, N, answer, refusal, run_command, write_data

# Models of a user's, each of which does something else than to be trained.
TRAPS = """
import os, time
from echo_stream.training.models import build_model

def crashes(shape, classes):
    os.abort()

def hangs(shape, classes):
    time.sleep(600)

def eats(shape, classes):
    kept = []
    while True:
        kept.append(b"x" * 2**24)
        time.sleep(0.01)

def works(shape, classes):
    return build_model("mlp", shape, classes)
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small labelled data file, in a working folder with models of the user's."""
    (tmp_path / "traps.py").write_text(TRAPS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return write_data(tmp_path / "data.npz")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "limit", "reason"),
    [
        ("crashes", (), "the training ended with exit code -6"),
        ("hangs", ("--retrain-timeout", "3s"), "the training was killed after 3 s"),
        ("eats", ("--retrain-memory", "700MiB"), "the training was killed as it took"),
    ],
)
def test_trainer_that_fails_hurts_nobody(
    data: Path, tmp_path: Path, model: str, limit: tuple[str, ...], reason: str
) -> None:
    """It is stopped and told, in the status too; all samples are counted."""
    result = run_command(
        "run", data, "--state", "state", *TINY, "--warmup", 50, "--retrain-every", 200,
        "--model", f"traps:{model}", *limit,
    )  # fmt: skip
    assert (result.exit_code, result.json()["n"], result.json()["retrainings"]) == (0, N, 1)
    assert reason in result.stderr
    status = json.loads((tmp_path / "state" / "status.json").read_text())
    assert status["trainings"] == {"trained": 0, "failed": 1}
    assert not list((tmp_path / "state").glob("models/*/metrics.json"))


@pytest.mark.slow
def test_model_is_kept_fresh_judged_and_tested(data: Path, tmp_path: Path) -> None:
    """All of it together: a hook hears of models, and the second run tests the current one."""
    hook = tmp_path / "hook.py"
    hook.write_text("import sys; open('heard', 'a').write(sys.argv[1] + '\\n')\n")
    words = [
        "run", data, "--state", "state", *TINY, "--warmup", 50, "--retrain-on-turnover", "50%",
        "--retrain-debounce", "1ms", "--holdout", 0.2, "--evaluate", "--model", "traps:works",
        "--train-steps", 3, "--warm-start", "--on-model", shlex.join([sys.executable, str(hook)]),
    ]  # fmt: skip
    report = answer(*words, "--max-samples", 120)
    assert report["n"] + report["num_held_out"] == report["num_arrived"] == 120
    assert report["num_held_out"] > 0
    assert report["retrainings"] == 1
    current = json.loads((tmp_path / "state" / "models" / "current.json").read_text())
    assert current["reason"] == "there was no current model"
    assert (tmp_path / "heard").read_text().split() == [
        str(tmp_path / "state" / "models" / current["model"])
    ]
    report = answer(*words)
    assert report["num_arrived"] == N
    assert report["prequential"]["tested"] == report["samples"] == N - 120
    with np.load(data) as file:
        held = {str(row) for row in range(len(file["x"]))}
    kept = answer("query", "SELECT id FROM coreset", "--state", "state")
    assert {row["id"] for row in kept} < held


STREAM = ("--latent", "identity", "--budget", 12, "--warmup", 50)
OFTEN = ("--retrain-every", 2_500, "--model", "mlp", "--train-steps", 3)


@pytest.mark.slow
def test_models_are_trained_on_the_coreset_that_is_queried(tmp_path: Path) -> None:
    """Labels that its samples got are the labels that are used, and they are spread as ever."""
    data, state = write_data(tmp_path / "many.npz", 3_000, y=None), tmp_path / "state"
    words = ("run", data, "--state", state, *STREAM)
    answer(*words, "--max-samples", 2_400)
    ids = [row["id"] for row in answer("query", "SELECT id FROM coreset", "--state", state)]
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{name},{int(name) % 2}\n" for name in ids))
    answer("label", "import", labels, "--state", state)
    assert answer(*words, *OFTEN, "--model", "logistic")["retrainings"] == 1
    (metrics,) = [json.loads(path.read_text()) for path in state.glob("models/*/metrics.json")]
    trained_on = ("--state", state, "--snapshot", metrics["snapshot"])
    shown = answer("snapshots", "show", *trained_on)
    assert metrics["coreset"] == {name: shown[name] for name in ("generation", "config", "n")}
    query = "SELECT count(*) AS samples, count(*) FILTER (is_given) AS labelled FROM spread"
    (counts,) = answer("query", query, *trained_on)
    assert metrics["labels_used"] == counts["labelled"] > 6
    assert metrics["labels_used"] + metrics["pseudo_labelled"] == counts["samples"]
    assert metrics["spread"].startswith("labels are spread: ")
    assert answer("snapshots", "verify", "--state", state)


def test_held_out_share_cannot_change(data: Path) -> None:
    """It is part of the state's configuration."""
    words = ["run", data, "--state", "state", *TINY]
    answer(*words, "--holdout", 0.2)
    assert "holdout is 0.2 there, 0.1 here" in refusal(*words, "--holdout", 0.1, exit_code=4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--retrain-on-turnover", "120%"), "--retrain-on-turnover must be above 0 and at most 1"),
        (("--retrain-memory", "lots"), "a size is bytes"),
        (("--on-snapshot", "'open"), "must be words, quoted as in a shell"),
        (("--manifest-topic", "t"), "--manifest-topic needs --bootstrap-servers"),
    ],
)
def test_wrong_options_are_refused_at_once(
    data: Path, options: tuple[str, str], words: str
) -> None:
    """Before anything is counted."""
    assert words in refusal("run", data, "--state", "state", *TINY, *options, exit_code=2)
    assert not Path("state").exists()


@pytest.mark.slow
def test_settings_may_come_from_a_file(data: Path, tmp_path: Path) -> None:
    """As for every option of run."""
    (tmp_path / "echo.toml").write_text(
        '[run]\nholdout = 0.2\nretrain_on_turnover = "30%"\nretrain_memory = "2GiB"\n'
        'model = "traps:works"\ntrain_steps = 2\n'
    )
    report = answer("--config", "echo.toml", "run", data, "--state", "state", *TINY)
    assert report["num_held_out"] > 0
    assert report["retrainings"] == 1


@pytest.mark.slow
def test_a_regression_is_kept_fresh_too(data: Path, tmp_path: Path) -> None:
    """What it is comes from the settings of train; what is said of it names no accuracy."""
    (tmp_path / "echo.toml").write_text('[train]\ntask = "regression"\n')
    result = run_command(
        "run", data, "--state", "state", *TINY, "--warmup", 50, "--retrain-every", 200,
        "--model", "mlp", "--train-steps", 2, "--test", data, "--config", "echo.toml",
    )  # fmt: skip
    assert (result.exit_code, result.json()["retrainings"]) == (0, 1), result.stderr
    assert "labels, rmse" in result.stderr
    assert "is current: there was no current model" in result.stderr
