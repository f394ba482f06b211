"""Which model is current: a new one is only if it is not worse on what was held out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echo_stream import EchoCoreset
from echo_stream.connectors.storage.state_store import StateStore
from echo_stream.connectors.training.current_model import CURRENT_FILE, current_unit, read_current
from echo_stream.connectors.training.examiner import CurrentModelExaminer
from echo_stream.connectors.training.job import Trained, train_on_snapshot
from echo_stream.connectors.training.model_files import read_fitted, read_model, trained_ids
from echo_stream.errors import StateError
from echo_stream.samples.validation import as_samples
from echo_stream.training.config import TrainConfig
from tests.support.strategies import identity_generation

N = 600
RNG = np.random.default_rng(0)
X = RNG.random((N, 2)).astype(np.float32)
Y = np.where(X[:, 0] > 0.5, "right", "left")
GOOD = TrainConfig("mlp", steps=60, lr=0.05, structure_weight=0.0, device="cpu", evaluations=1)
BAD = TrainConfig("mlp", steps=1, lr=1e-9, structure_weight=0.0, device="cpu", evaluations=1,
                  seed=3)  # fmt: skip


def snapshot(folder: Path, y: Any = Y, holdout: float = 0.3) -> Path:
    """Return a snapshot of a state; a third of the samples are held out."""
    engine = EchoCoreset(40, preset="paper", cells="grid-budget", latent="identity", support=0,
                         generation=identity_generation(2, 6), holdout=holdout,
                         device="cpu")  # fmt: skip
    engine.partial_fit(X, y)
    with StateStore(folder) as store:
        return folder / "snapshots" / store.save_snapshot(engine.snapshot(), {"row": N})


def trained(unit: Path, config: TrainConfig, **more: Any) -> Trained:
    """Train and promote."""
    models = unit.parent.parent / "models"
    return train_on_snapshot(unit, config, test=None, models=models, promote=True, **more)


def test_worse_model_stays_a_challenger(tmp_path: Path) -> None:
    """With the reason, in its metrics too; one that is as good takes its place."""
    unit, models = snapshot(tmp_path), tmp_path / "models"
    good = trained(unit, GOOD)
    assert good.verdict is not None
    assert good.verdict.score is not None
    assert good.verdict.score > 0.85
    assert (good.verdict.is_current, read_current(models)) == (True, good.folder.name)
    bad = trained(unit, BAD)
    assert bad.verdict is not None
    assert not bad.verdict.is_current
    assert bad.verdict.current_score == good.verdict.score
    assert "worse: accuracy" in bad.verdict.reason
    assert json.loads((bad.folder / "metrics.json").read_text())["verdict"] == (
        bad.verdict.to_json()
    )
    assert read_current(models) == good.folder.name
    again = trained(unit, GOOD)
    assert again.verdict is not None
    assert again.verdict.is_current
    assert read_current(models) == again.folder.name


def test_without_held_out_labels_the_newest_is_current(tmp_path: Path) -> None:
    """And the reason says so."""
    unit = snapshot(tmp_path, holdout=0.0)
    trained(unit, GOOD)
    newest = trained(unit, BAD)
    assert newest.verdict is not None
    assert newest.verdict.is_current
    assert "no held-out sample with a label" in newest.verdict.reason


def test_model_whose_training_diverged_is_never_current(tmp_path: Path) -> None:
    """Not even where nothing is held out to compare on, or nothing is current."""
    unit, models = snapshot(tmp_path, holdout=0.0), tmp_path / "models"
    bad = trained(unit, replace(GOOD, lr=1e12))
    assert bad.verdict is not None
    assert (bad.verdict.is_current, bad.verdict.current) == (False, None)
    assert "diverged" in bad.verdict.reason
    assert read_current(models) is None
    good = trained(unit, GOOD)
    assert read_current(models) == good.folder.name
    again = trained(unit, replace(GOOD, lr=1e13))
    assert again.verdict is not None
    assert (again.verdict.is_current, again.verdict.current) == (False, good.folder.name)


def test_current_model_that_is_damaged_gives_way(tmp_path: Path) -> None:
    """Nothing could be said for it."""
    unit = snapshot(tmp_path)
    (trained(unit, GOOD).folder / "model.safetensors").write_bytes(b"no weights")
    newest = trained(unit, BAD)
    assert newest.verdict is not None
    assert newest.verdict.is_current
    assert "cannot be evaluated" in newest.verdict.reason


@pytest.mark.parametrize("content", ["{", "[]", '{"model": "../elsewhere"}', '{"model": 3}'])
def test_damaged_file_is_told(tmp_path: Path, content: str) -> None:
    """It never leads out of the folder."""
    (tmp_path / CURRENT_FILE).write_text(content)
    with pytest.raises(StateError, match="is damaged"):
        read_current(tmp_path)


def test_regression_is_judged_by_its_error(tmp_path: Path) -> None:
    """The smaller one is the better."""
    unit = snapshot(tmp_path, y=X[:, 0] * 100)
    config: dict[str, Any] = {"task": "regression", "device": "cpu", "evaluations": 1}
    good = trained(unit, TrainConfig("mlp", steps=200, lr=0.05, **config))
    bad = trained(unit, TrainConfig("mlp", steps=1, lr=1e-9, **config))
    assert good.verdict is not None
    assert good.verdict.is_current
    assert bad.verdict is not None
    assert not bad.verdict.is_current
    assert "worse: RMSE" in bad.verdict.reason


def test_warm_start_begins_with_the_current_weights(tmp_path: Path) -> None:
    """Row by row of the classes that are known; those of a new class are random."""
    unit, models = snapshot(tmp_path), tmp_path / "models"
    first = trained(unit, GOOD)
    more = np.where(X[:, 1] > 0.7, "above", Y)
    grown = trained(snapshot(tmp_path, y=more), BAD, warm_start=True)
    before, _ = read_model(first.folder)
    after, metrics = read_model(grown.folder)
    assert metrics["warm_start"] == metrics["config"]["warm_start"] == first.folder.name
    assert metrics["classes"] == ["above", "left", "right"]
    old, new = before.state_dict(), after.state_dict()
    assert old.keys() == new.keys()
    for name, tensor in old.items():
        is_output = new[name].shape != tensor.shape
        adopted = new[name][1:] if is_output else new[name]
        assert torch.allclose(adopted, tensor, atol=1e-6), name
    cold = trained(unit, BAD)
    assert read_model(cold.folder)[1]["warm_start"] is None
    assert current_unit(models) is not None


def test_warm_start_of_another_model_is_cold(tmp_path: Path) -> None:
    """Nothing of it fits."""
    unit = snapshot(tmp_path)
    trained(unit, GOOD)
    config = TrainConfig("logistic", steps=1, device="cpu", evaluations=1)
    other = trained(unit, config, warm_start=True)
    assert other.result.metrics["warm_start"] is None


def test_stored_model_predicts_as_the_one_that_was_trained(tmp_path: Path) -> None:
    """Labels, by name."""
    stored = read_fitted(trained(snapshot(tmp_path), GOOD).folder)
    right = [a == b for a, b in zip(stored.predict(X), Y.tolist(), strict=True)]
    assert np.mean(right) > 0.85


def test_examiner_tests_the_current_model(tmp_path: Path) -> None:
    """From the moment that there is one; errors that rise are drift."""
    engine = EchoCoreset(9, generation=identity_generation(2, 3), preset="paper", device="cpu")
    examiner = CurrentModelExaminer(tmp_path / "models", "mlp", on_drift=True)
    assert not examiner.examine(engine, as_samples(X, Y))
    assert examiner.to_json() is None
    trained(snapshot(tmp_path), GOOD)
    examiner.reload()
    assert not examiner.examine(engine, as_samples(X, Y))
    found = examiner.to_json()
    assert found is not None
    assert found["tested"] == N
    assert found["accuracy"] > 0.85
    swapped = np.where(Y == "left", "right", "left")
    assert examiner.examine(engine, as_samples(X, swapped))


def test_samples_without_labels_are_watched_by_distance(tmp_path: Path) -> None:
    """They come to lie where no cell's centre is."""
    engine = EchoCoreset(9, generation=identity_generation(2, 3), preset="paper", device="cpu")
    engine.partial_fit(X)
    examiner = CurrentModelExaminer(tmp_path / "models", "mlp", on_drift=True)
    assert not examiner.examine(engine, as_samples(X))
    assert examiner.examine(engine, as_samples(X + 40))


def test_what_was_trained_on_is_known_after_a_restart(tmp_path: Path) -> None:
    """Unless the snapshot is gone."""
    assert trained_ids(tmp_path) is None
    unit = snapshot(tmp_path)
    trained(unit, BAD)
    found = trained_ids(tmp_path)
    assert found is not None
    assert 0 < len(found) <= 40
