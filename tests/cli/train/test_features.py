"""`--features`: a user's own function or module decides what is measured."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import answer, refusal, write_data

CODE = """
import torch

def spread(x):
    return x.reshape(len(x), -1).std(axis=1, keepdims=True)

class Mean(torch.nn.Module):
    def forward(self, x):
        return x.flatten(1).mean(dim=1, keepdim=True)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with a user's code and data."""
    (tmp_path / "my_encoders.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "data.npz")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spread", "Mean"])
def test_build_and_run_measure_by_features(name: str) -> None:
    """A generation that was built with them serves a stream, which goes on with them."""
    features = ["--features", f"my_encoders:{name}"]
    built = answer("build", "data.npz", "--out", "coreset", "--budget", 9, *features)
    run = ["run", "data.npz", "--state", "state", "--budget", 9, "--generation", "coreset"]
    report = answer(*run, *features, "--max-samples", 100)
    assert report["n"] == 100
    assert answer(*run, *features)["n"] == built["n"]
    sql = "SELECT len(z) AS axes, octet_length(x) AS bytes FROM coreset LIMIT 1"
    (row,) = answer("query", sql, "--state", "state")
    assert row["axes"] == 1
    assert row["bytes"] == np.load("data.npz")["x"][0].nbytes
    message = refusal(*run, exit_code=2)
    assert f"was trained with features 'my_encoders:{name}'" in message
    message = refusal("run", "data.npz", "--state", "state", "--budget", 9, exit_code=4)
    assert message.endswith(
        f"features is 'my_encoders:{name}' there, None here; "
        f"to continue it, set --features to my_encoders:{name}, or give another --state"
    )


def test_features_are_looked_for_before_samples_are_read() -> None:
    """A wrong name is wrong usage, in one line."""
    for name, words in (
        ("my_encoders:nothing", "my_encoders has no nothing"),
        ("nowhere:at_all", "importing nowhere failed"),
        ("spread", "features must be module:attribute"),
    ):
        run = ("build", "missing.npz", "--out", "coreset", "--features", name)
        assert words in refusal(*run, exit_code=2)
