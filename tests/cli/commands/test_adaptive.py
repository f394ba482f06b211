"""Every command over a state whose cells follow the stream: no share is certified, none fails."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import answer, refusal, run_command, write_data
from tests.support.http.rig import ask, served_state

ADAPTIVE = ("--budget", 20, "--keep", 60)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state with snapshots at 100, 200 and 300 samples."""
    folder = tmp_path_factory.mktemp("adaptive")
    data = write_data(folder / "data.npz")
    found = run_command(
        "run", data, "--state", folder / "state", *ADAPTIVE, "--warmup", 50, "--snapshot-every", 100
    )
    assert found.exit_code == 0, found.stderr
    return folder / "state"


def test_snapshots_have_no_certified_share(state: Path) -> None:
    """In the list, in SQL and in differences it is null; weights sum to N."""
    listed = answer("snapshots", "list", "--state", state)
    assert [entry["certified_fraction"] for entry in listed] == [None] * len(listed)
    first, *_, last = (entry["id"] for entry in listed)
    assert answer("snapshots", "diff", first, last, "--state", state)
    sql = "SELECT count(certified) AS certified, sum(weight) AS n, count(*) AS rows FROM coreset"
    assert answer("query", sql, "--state", state) == [{"certified": 0, "n": 300.0, "rows": 20}]
    sql = "SELECT count(*) AS n FROM snapshots WHERE certified_fraction IS NULL"
    assert answer("query", sql, "--state", state) == [{"n": len(listed)}]
    assert answer("status", "--state", state)["certified_fraction"] is None


def test_what_is_written_can_be_read(state: Path, tmp_path: Path) -> None:
    """Exports and plots are made of it, and it is whole."""
    for name in ("coreset.npz", "coreset.parquet", "plot.png"):
        command = "plot" if name.endswith("png") else "export"
        answer("snapshots", command, tmp_path / name, "--state", state)
    assert np.load(tmp_path / "coreset.npz")["weight"].sum() == 300
    assert all(unit["intact"] for unit in answer("snapshots", "verify", "--state", state))


def test_why_tells_what_a_row_represents(state: Path, tmp_path: Path) -> None:
    """Of rows, of samples held beside, and of dropped ones given with the data."""
    rows = {row["id"] for row in answer("query", "SELECT id FROM coreset", "--state", state)}
    np.save(tmp_path / "x.npy", np.load(state.parent / "data.npz")["x"][0])
    kinds = set[str]()
    for name in map(str, range(300)):
        if len(kinds) == 3 and name not in rows:
            break
        told = answer("why", name, "--state", state, "--data", tmp_path / "x.npy")
        words = told["why"]
        kind = "row" if name in rows else "held" if told["held"] else "dropped"
        assert {"row": "chosen as row", "held": "held, not chosen: it lies nearest to",
                "dropped": "it would lie nearest to"}[kind] in words  # fmt: skip
        kinds.add(kind)
    assert kinds == {"row", "held", "dropped"}


def test_train_and_serve(state: Path) -> None:
    """A model is trained on it; the server answers, and says that no share is certified."""
    trained = run_command("train", "--state", state, "--model", "mlp", "--train-epochs", 1)
    assert trained.exit_code == 0, trained.stderr
    with served_state(state) as url:
        assert ask(f"{url}/api/v1/snapshots/newest").json()["certified_fraction"] is None


def test_changes_are_exact(state: Path) -> None:
    """A sample is forgotten by its id, and keep may change when a run goes on."""
    name = answer("query", "SELECT id FROM coreset LIMIT 1", "--state", state)[0]["id"]
    assert answer("forget", name, "--state", state)
    data = state.parent / "data.npz"
    for keep in (20, 200):
        options = (*ADAPTIVE[:-1], keep)
        found = run_command("run", data, "--state", state, *options, "--warmup", 50)
        assert found.exit_code == 0, found.stderr


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        (("--rank", "uniform"), "--rank"),
        (("--balance", "class"), "--balance"),
        (("--support-share", 0.1), "--support-share"),
        (("--auto-regenerate",), "--auto-regenerate"),
        (("--keep", 10), "--keep"),
    ],
)
def test_what_is_for_fixed_cells_is_refused(
    options: tuple[object, ...], setting: str, state: Path, tmp_path: Path
) -> None:
    """In a sentence that names the option."""
    words = ("build", state.parent / "data.npz", "--out", tmp_path / "out", *ADAPTIVE, *options)
    assert setting in refusal(*words, exit_code=2)
