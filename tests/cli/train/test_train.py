"""`echo-stream train`: a model on a snapshot."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from echo_stream.connectors.training.model_files import read_model
from echo_stream.errors import ConfigError, StateError
from echo_stream.training.evaluation import evaluate
from tests.support.commands import TINY, N, answer, content, refusal, run_command, write_data

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


def test_labels_are_spread_over_what_is_held(tmp_path: Path) -> None:
    """A line says so and why, or why not; the labels that were bought are counted as before."""
    labels = np.where(np.arange(N) % 20 < 3, np.arange(N) % 20, np.nan)
    state = tmp_path / "state"
    answer("build", write_data(tmp_path / "data.npz", y=labels), "--state", state,
           "--budget", 20, "--keep", 200, "--device", "cpu")  # fmt: skip
    (known,) = answer("query", "SELECT count(*) AS n FROM spread WHERE is_given", "--state", state)
    spread = run_command("train", "--state", state, *QUICK, "--spread")
    told = f"labels are spread, as asked for: {known['n']} labels, "
    assert told in spread.stderr
    metrics = spread.json()
    assert metrics["spread"].startswith(told)
    assert metrics["labels_used"] == known["n"]
    assert metrics["pseudo_labelled"] == metrics["num_held"] - known["n"] > 0
    assert "were left out" not in spread.stderr
    alone = run_command("train", "--state", state, *QUICK, "--no-spread")
    assert "labels are not spread, as asked for" in alone.stderr
    assert alone.json()["pseudo_labelled"] == 0


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
        (("--lr", 0), 2, "--lr must be above 0"),
        (("--batch-size", 0), 2, "--batch-size must be at least 1; got 0"),
        (("--train-epochs", 0), 2, "0 is not in the range x>=1"),
        (("--input-shape", "wide"), 2, "such as 1,28,28; got 'wide'"),
        (("--input-shape", "3,3"), 2, "(3, 3)"),
        (("--train-features", "nowhere"), 2, "--train-features must be module:attribute; got"),
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


def test_the_whole_recipe_is_an_option(folder: Path) -> None:
    """Each is in the configuration that the metrics keep."""
    recipe = {
        "optimiser": "adamw", "schedule": "linear", "lr": 0.01, "momentum": 0.5,
        "weight_decay": 0.1, "structure_weight": 0.25, "margin": 2.0, "support_per_step": 5,
        "psi": "mixup", "mixup_alpha": 0.4, "gamma": 1.5, "batch_size": 7, "evaluations": 3,
        "sample_weights": "sqrt", "max_grad_norm": 2.5,
    }  # fmt: skip
    words = [
        word for name, value in recipe.items() for word in (f"--{name.replace('_', '-')}", value)
    ]
    flags = ("--mixed-precision", "--augment", "flip", "--augment", "crop")
    shape = ("--input-shape", "1,28,28")
    out = ("--out", folder / "recipe")
    shown = answer("train", "--snapshot", folder / "flat", *QUICK, *words, *flags, *shape, *out)
    expected = recipe | {"mixed_precision": True, "augment": ["flip", "crop"]}
    assert {name: shown["config"][name] for name in expected} == expected


def test_the_recipe_can_stand_in_a_settings_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or in the environment, which goes before it."""
    settings = tmp_path / "echo.toml"
    settings.write_text(
        '[train]\ngamma = 0.5\noptimiser = "adam"\nmodel = "logistic"\naugment = ["flip"]\n'
    )
    monkeypatch.setenv("ECHO_STREAM_GAMMA", "2")
    monkeypatch.setenv("ECHO_STREAM_TRAIN_STEPS", "2")
    words = ("--input-shape", "1,28,28", "--out", tmp_path / "models", "--config", settings)
    shown = answer("train", "--snapshot", folder / "flat", *words)
    config = shown["config"]
    assert (config["gamma"], config["optimiser"], config["steps"]) == (2.0, "adam", 2)
    assert (config["model"], config["augment"]) == ("logistic", ["flip"])
    assert config["lr"] == 1e-3  # that of adam


@pytest.mark.parametrize(
    ("how", "exponent"),
    [
        ((), 15 / 45),  # 15 rows of three classes
        (("--preset", "fixed", "--balance", "class"), 0),
        (("--preset", "paper"), 0),
    ],
)
def test_rows_weigh_what_they_stand_for(
    folder: Path, tmp_path: Path, how: tuple[str, ...], exponent: float
) -> None:
    """By default; but for those that are not to have the proportions, and unless told."""
    words = ("--out", tmp_path / "coreset", "--budget", 15, "--latent-dim", 2, *how)
    answer("build", folder / "data.npz", *words)
    train = ("train", "--snapshot", tmp_path / "coreset", *QUICK, "--out", tmp_path / "models")
    assert answer(*train)["weight_exponent"] == pytest.approx(exponent)
    assert answer(*train, "--sample-weights", "full")["weight_exponent"] == 1


def test_regression_tells_that_the_structural_loss_is_off(folder: Path) -> None:
    """And gives errors in place of an accuracy; the model's folder has what undoes the scale."""
    data = folder / "data.npz"
    words = ("train", "--state", folder / "state", *QUICK, "--task", "regression", "--test", data)
    result = run_command(*words)
    assert "the structural loss is off" in result.stderr
    shown = result.json()
    assert shown["structure_used"] is False
    assert shown["rmse"] > 0
    assert shown["labels_used"] > 0
    model, metrics = read_model(Path(shown["model"]))
    assert model(torch.zeros(2, 4)).shape == (2, 1)
    assert 0 < metrics["target_mean"] < 2
    assert metrics["target_scale"] > 0


def test_a_model_can_be_read_back(folder: Path) -> None:
    """With its weights, its learning curve as a picture, and where it came from."""
    data = folder / "data.npz"
    shown = answer("train", "--state", folder / "state", *QUICK, "--test", data)
    model, metrics = read_model(Path(shown["model"]))
    with np.load(data) as arrays:
        scored = evaluate(model, arrays["x"], arrays["y"], metrics["classes"])
    assert scored["accuracy"] == shown["accuracy"]
    assert scored["ece"] == shown["ece"]
    picture = Path(shown["model"], "curve.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    manifest = answer("snapshots", "show", "--state", folder / "state")
    origin = {name: manifest[name] for name in ("generation", "config", "n")}
    assert metrics["coreset"] == origin


def test_what_a_model_file_says_is_not_imported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A factory of the user's has to be named by the reader."""
    (tmp_path / "model_to_read.py").write_text(
        "import torch\ndef make(s, c):\n    return torch.nn.Linear(s[0], c)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = "model_to_read:make"
    words = ("--model", spec, "--train-epochs", 1, "--out", tmp_path / "models")
    unit = Path(answer("train", "--state", folder / "state", *words)["model"])
    with pytest.raises(ConfigError, match="was made by 'model_to_read:make'; give it as factory"):
        read_model(unit)
    model, _ = read_model(unit, factory=spec)
    assert model(torch.zeros(2, 4)).shape == (2, 3)
    path = unit / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StateError, match=r"model\.safetensors is damaged"):
        read_model(unit, factory=spec)


def test_augmentation_of_vectors_is_refused(folder: Path) -> None:
    """The line says what helps."""
    line = refusal("train", "--state", folder / "state", *QUICK, "--augment", "flip", exit_code=2)
    assert "is for images" in line
    assert "--input-shape" in line


def test_a_terminal_shows_loss_accuracy_and_time_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal only; a pipe gets no bar."""
    words = ("train", "--state", folder / "state", *QUICK)
    assert "of the batch right" not in run_command(*words).stderr
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    bar = run_command(*words).stderr
    assert "training on coreset, loss" in bar
    assert "% of the batch right" in bar
    assert "0:00:00" in bar
