"""`echo-stream train`: a model on a snapshot."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import TINY, N, answer, content, refusal, run_command, write_data

QUICK = ("--model", "mlp", "--train-epochs", 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data.npz, a state built of it, and flat images with a snapshot."""
    folder = tmp_path_factory.mktemp("train")
    answer("build", write_data(folder / "data.npz"), "--state", folder / "state", *TINY)
    images = np.random.default_rng(7).integers(0, 256, (60, 784), dtype=np.uint8)
    answer("build", write_data(folder / "flat.npz", 60, x=images), "--out", folder / "flat", *TINY)
    return folder


def test_weights_and_metrics_are_kept(folder: Path) -> None:
    """What is printed is also in the model's folder, which names the snapshot."""
    shown = answer("train", "--state", folder / "state", *QUICK)
    model = Path(shown["model"])
    assert model.parent == folder / "state" / "models"
    assert (model / "model.safetensors").stat().st_size > 0
    metrics = json.loads((model / "metrics.json").read_text())
    snapshot = answer("snapshots", "show", "--state", folder / "state")["id"]
    assert shown["snapshot"] == metrics["snapshot"] == snapshot
    for name in ("labels_used", "steps", "loss", "accuracy"):
        assert metrics[name] == shown[name]
    assert (metrics["classes"], metrics["input_shape"]) == ([0, 1, 2], [4])


def test_test_data_are_scored(folder: Path) -> None:
    """--test gives an accuracy, in all and by class; without it there is none."""
    state, data = folder / "state", folder / "data.npz"
    scored = answer("train", "--state", state, *QUICK, "--test", data)
    assert scored["test_samples"] == N
    assert set(scored["per_class"]) == {"0", "1", "2"}
    assert scored["accuracy"] == pytest.approx(sum(scored["per_class"].values()) / 3, rel=1e-9)
    unscored = answer("train", "--state", state, *QUICK)
    assert (unscored["accuracy"], unscored["test_samples"]) == (None, 0)


def test_more_steps_learn_more(folder: Path) -> None:
    """--train-steps is the exact number of steps, and the loss falls over them."""
    few, many = (
        answer("train", "--state", folder / "state", "--model", "mlp", "--train-steps", steps)
        for steps in (2, 40)
    )
    assert (few["steps"], many["steps"]) == (2, 40)
    assert many["loss"] < few["loss"]


def test_same_seed_same_model(folder: Path) -> None:
    """A training can be repeated, weight for weight; another seed is another model."""
    weights = [
        (Path(shown["model"]) / "model.safetensors").read_bytes()
        for seed in (0, 0, 1)
        for shown in [answer("train", "--state", folder / "state", *QUICK, "--seed", seed)]
    ]
    assert weights[0] == weights[1] != weights[2]


def test_snapshot_by_path_with_out(folder: Path, tmp_path: Path) -> None:
    """A snapshot outside a state needs a place for the model, and gets it."""
    words = ["train", "--snapshot", folder / "flat", *QUICK]
    assert "--out DIR" in refusal(*words, exit_code=2)
    shown = answer(*words, "--out", tmp_path / "models")
    assert Path(shown["model"]).parent == tmp_path / "models"


def test_lenet_on_vectors_tells_of_input_shape(folder: Path, tmp_path: Path) -> None:
    """Images kept flat are refused with the option that helps, which then helps."""
    words = ["train", "--snapshot", folder / "flat", "--out", tmp_path, "--train-epochs", 1]
    line = refusal(*words, exit_code=2)
    assert "got (784,)" in line
    assert "--input-shape, such as 1,28,28" in line
    assert answer(*words, "--input-shape", "1,28,28")["steps"] == 1


def test_snapshot_without_labels(tmp_path: Path) -> None:
    """Nothing can be learned without labels, which is said before a model is made."""
    data = write_data(tmp_path / "data.npz", y=None)
    answer("build", data, "--state", tmp_path / "state", *TINY)
    before = content(tmp_path)
    line = refusal("train", "--state", tmp_path / "state", *QUICK, exit_code=1)
    assert "no core sample has a label, of 20" in line
    assert content(tmp_path) == before


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    """Some labels are enough; how many rows had none is told."""
    labels = np.where(np.arange(N) % 3 == 0, np.nan, np.arange(N) % 3)
    answer(
        "build", write_data(tmp_path / "data.npz", y=labels), "--state", tmp_path / "state", *TINY
    )
    result = run_command("train", "--state", tmp_path / "state", *QUICK)
    assert result.exit_code == 0
    missing = result.json()["num_unlabelled"]
    assert missing > 0
    assert f"{missing} rows without a label were left out" in result.stderr


def test_factory_in_the_working_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--model module:factory finds a file beside which the command is run."""
    monkeypatch.chdir(tmp_path)
    Path("model_of_the_cli_tests.py").write_text(
        "from torch import nn\n\n"
        "def linear(shape, num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], num_classes))\n"
    )
    model = ("--model", "model_of_the_cli_tests:linear", "--train-epochs", 1)
    shown = answer("train", "--state", folder / "state", *model)
    assert shown["config"]["model"] == "model_of_the_cli_tests:linear"


def test_divergence_is_told(folder: Path) -> None:
    """A learning rate out of all reason gives a result that says so, not a NaN."""
    result = run_command("train", "--state", folder / "state", *QUICK, "--lr", 1e30)
    assert (result.json()["diverged"], result.json()["loss"]) == (True, None)
    assert "lower --lr" in result.stderr


@pytest.mark.parametrize(
    ("options", "exit_code", "words"),
    [
        (("--model", "resnet"), 2, "lenet, resnet18, mlp, logistic or module:factory"),
        (("--model", "no_such_module:make"), 2, "No module named 'no_such_module'"),
        (("--model", "os:no_such_name"), 2, "os has no no_such_name"),
        (("--model", "os:sep"), 2, "not callable"),
        (("--lr", 0), 2, "lr must be a number above 0"),
        (("--batch-size", 0), 2, "at least 1; got 0"),
        (("--train-epochs", 0), 2, "0 is not in the range x>=1"),
        (("--input-shape", "wide"), 2, "such as 1,28,28; got 'wide'"),
        (("--input-shape", "3,3"), 2, "(3, 3)"),
        (("--device", "cuda:99"), 2, "cuda:99 is not available"),
        (("--snapshot", "nope"), 4, "holds no snapshot nope"),
        (("--test", "missing.npz"), 3, "missing.npz: no such file"),
        (("--test", "flat.npz"), 1, "(784,) do not fit a model that takes (4,)"),
        (("--out", "data.npz"), 4, "Not a directory"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_bad_options(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    exit_code: int,
    words: str,
) -> None:
    """What cannot be trained is told in one line, and leaves no model behind."""
    monkeypatch.chdir(folder)
    before = content(folder)
    assert words in refusal("train", "--state", "state", *QUICK, *options, exit_code=exit_code)
    assert content(folder) == before


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def make(shape, classes:\n", "SyntaxError"),
        ("def make():\n    return None\n", "TypeError"),
        ("def make(shape, classes):\n    raise RuntimeError('no\\nsuch layer')\n", "no"),
        ("import torch\ndef make(s, c):\n    return torch.nn.Linear(3, c)\n", "RuntimeError"),
    ],
)
def test_model_of_the_user_that_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    """Whatever a user's module raises is told in one line."""
    name = f"broken_{len(code)}"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    model = ("--model", f"{name}:make")
    assert words in refusal("train", "--state", folder / "state", *model, exit_code=2)
