"""`echo-stream label`: labels from a file reach the samples of a state; what to label next."""

import json
from pathlib import Path

import numpy as np
import pytest

from echo_stream.connectors.storage.state_store import StateStore
from tests.support.commands import (
    TINY,
    N,
    answer,
    content,
    newest_checkpoint,
    refusal,
    run_command,
    units,
    write_data,
)

QUICK = ("--model", "mlp", "--train-steps", 2, "--device", "cpu")
RUN = (*TINY, "--warmup", 100)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state that has counted the data, without labels."""
    answer("run", write_data(tmp_path / "data.npz"), "--state", tmp_path / "state", *RUN)
    return tmp_path / "state"


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """Return a state whose data had no labels."""
    data = write_data(tmp_path / "bare.npz", y=None)
    answer("run", data, "--state", tmp_path / "state", *RUN)
    return tmp_path / "state"


def write_labels(path: Path, *lines: str) -> Path:
    """Write lines of CSV."""
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_labels_reach_a_snapshot(state: Path, tmp_path: Path) -> None:
    """Of held samples; the others are counted as missed, and no row is another one."""
    sql = "SELECT id, label, weight FROM coreset ORDER BY selection_rank"
    before = answer("query", sql, "--state", state)
    first, second = before[0]["id"], before[1]["id"]
    file = write_labels(
        tmp_path / "labels.csv", "who,label,id", f"me,early,{first}", f'me,"a, b",{second}',
        f"me,late,{first}", "me,7,nobody",
    )  # fmt: skip
    report = answer("label", "import", file, "--state", state)
    name = report.pop("snapshot")
    assert report == {"state": str(state), "num_labelled": 3, "num_label_missed": 1, "n": N}
    assert newest_checkpoint(state)["num_label_missed"] == 1
    after = answer("query", sql, "--state", state)
    assert [row["id"] for row in after] == [row["id"] for row in before]
    labels = {row["id"]: row["label"] for row in after}
    assert (labels.pop(first), labels.pop(second)) == ("late", "a, b")
    assert labels == {row["id"]: str(row["label"]) for row in before if row["id"] in labels}
    manifest = answer("snapshots", "show", "--state", state)
    assert manifest["id"] == name
    assert (manifest["num_labelled"], manifest["num_label_missed"]) == (3, 1)
    again = answer("run", tmp_path / "data.npz", "--state", state, *RUN)
    assert (again["samples"], again["num_labelled"], again["num_label_missed"]) == (0, 3, 1)
    assert again["snapshots"] == [name]


def test_labels_reach_the_context(tmp_path: Path) -> None:
    """Of samples that were not chosen too; then labels are spread, and `why` says by whom."""
    data = write_unlabelled(tmp_path / "data.npz")
    state, counted = tmp_path / "state", ("--budget", 20, "--keep", 60, "--device", "cpu")
    answer("run", data, "--state", state, *counted)
    held = answer("query", "SELECT id FROM context ORDER BY id", "--state", state)
    (first, second), other = (row["id"] for row in held[:2]), held[2]["id"]
    assert answer("why", other, "--state", state)["spread"] is None
    file = write_labels(tmp_path / "labels.csv", "id,label", f"{first},a", f"{second},b")
    assert answer("label", "import", file, "--state", state)["num_labelled"] == 2
    given = answer("query", "SELECT id, label FROM spread WHERE is_given ORDER BY id",
                   "--state", state)  # fmt: skip
    assert given == [{"id": first, "label": "a"}, {"id": second, "label": "b"}]
    (row,) = answer("query", f"SELECT * FROM spread WHERE id = '{other}'", "--state", state)
    told = answer("why", other, "--state", state)
    assert row["follows"] == {"a": first, "b": second}[row["label"]]
    assert {name: told["spread"][name] for name in ("label", "confidence", "follows")} == {
        name: row[name] for name in ("label", "confidence", "follows")
    }
    assert f"without a label, it follows {row['follows']}: {row['label']} with" in told["why"]
    assert [entry["role"] for entry in told["entered"]] == ["context"]
    assert answer("why", first, "--state", state)["spread"] is None
    again = answer("run", data, "--state", state, *counted, "--no-snapshot-context",
                   "--snapshot-every", 1)  # fmt: skip
    assert again["samples"] == 0


def write_unlabelled(path: Path) -> Path:
    """Write samples without labels."""
    with np.load(write_data(path.with_name("labelled.npz"))) as file:
        np.savez(path, x=file["x"])
    return path


def label_all(tmp_path: Path) -> Path:
    """Write a label for every sample."""
    return write_labels(
        tmp_path / "labels.csv", "id,label", *(f"{row},c{row % 2}" for row in range(N))
    )


@pytest.mark.parametrize("warmup", [100, N + 1], ids=["counted", "warming up"])
def test_a_model_can_be_trained_right_after(tmp_path: Path, warmup: int) -> None:
    """Without another run, also where the state still warms up."""
    data, state = write_unlabelled(tmp_path / "data.npz"), tmp_path / "state"
    answer("run", data, "--state", state, *TINY, "--warmup", warmup, "--max-samples", N - 1)
    train = ("train", "--state", state, *QUICK)
    assert "no core sample has a label" in run_command(*train).stderr
    report = answer("label", "import", label_all(tmp_path), "--state", state)
    assert report["num_labelled"] == N - 1
    assert answer(*train)["labels_used"] > 0


def test_what_was_built_can_be_labelled(tmp_path: Path) -> None:
    """Into a snapshot of its own, whose generation is there too; the old one stays as it is."""
    data, out = write_unlabelled(tmp_path / "data.npz"), tmp_path / "out"
    built, labels = answer("build", data, "--out", out, *TINY), label_all(tmp_path)
    before, labelled = content(out), tmp_path / "labelled"
    assert "give --out DIR" in refusal("label", "import", labels, "--snapshot", out, exit_code=2)
    report = answer("label", "import", labels, "--snapshot", out, "--out", labelled)
    assert content(out) == before
    assert report["out"] == str(labelled)
    manifest = answer("snapshots", "show", "--snapshot", out)
    held = manifest["num_distinct"] + manifest["num_context"]
    assert (report["num_labelled"], report["num_label_missed"]) == (held, N - held)
    manifest = answer("snapshots", "show", "--snapshot", labelled)
    assert report["snapshot"] == manifest["id"] != built["id"]
    sql = "SELECT * EXCLUDE (label) FROM coreset ORDER BY selection_rank"
    assert answer("query", sql, "--snapshot", labelled) == answer("query", sql, "--snapshot", out)
    sql = "SELECT bool_and(label = 'c' || CAST(id AS INT) % 2) AS is_right FROM coreset"
    assert answer("query", sql, "--snapshot", labelled) == [{"is_right": True}]
    assert answer("snapshots", "verify", "--snapshot", labelled)
    models = tmp_path / "models"
    assert answer("train", "--snapshot", labelled, "--out", models, *QUICK)["labels_used"] > 0
    answer("build", data, "--out", tmp_path / "again", *TINY, "--generation", labelled)
    assert "already exists" in refusal(
        "label", "import", labels, "--snapshot", out, "--out", labelled, exit_code=4
    )


def test_a_state_that_was_built_can_be_labelled(tmp_path: Path) -> None:
    """It gets another snapshot, which is the newest."""
    data, state = write_unlabelled(tmp_path / "data.npz"), tmp_path / "state"
    built = answer("build", data, "--state", state, *TINY)
    report = answer("label", "import", label_all(tmp_path), "--state", state)
    manifest = answer("snapshots", "show", "--state", state)
    assert report["num_labelled"] == built["num_distinct"] + manifest["num_context"]
    assert units(state / "snapshots") == sorted([built["id"], report["snapshot"]])
    assert answer("train", "--state", state, *QUICK)["snapshot"] == report["snapshot"]


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "words"), [
    (["id,y", "1,2"], "no column label; the first line must name"),
    (["1,2"], "no column id"),
    (["id,label", "1,2", "3,"], "line 3 has no label"),
    (["id,label", "1,2", ",3"], "line 3 has no id"),
    (["id,label", "1"], "line 2 has no label"),
    (["id,label", '1,"2'], "damaged, or not what its suffix says"),
])  # fmt: skip
def test_a_file_that_is_no_such_csv_changes_nothing(
    lines: list[str], words: str, state: Path, tmp_path: Path
) -> None:
    """The file and the line are named."""
    before = content(state)
    file = write_labels(tmp_path / "labels.csv", *lines)
    message = refusal("label", "import", file, "--state", state, exit_code=1)
    assert words in message
    assert str(file) in message
    assert content(state) == before


def test_files_and_states_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """With the exit codes of the other commands."""
    file = write_labels(tmp_path / "labels.csv", "id,label", "1,2")
    assert "no such file" in refusal("label", "import", "x.csv", "--state", tmp_path, exit_code=3)
    assert "there is no state" in refusal(
        "label", "import", file, "--state", tmp_path / "x", exit_code=4
    )
    assert "give --state DIR" in refusal("label", "import", file, exit_code=2)
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    message = refusal("label", "import", file, "--state", tmp_path / "empty", exit_code=4)
    assert "has no checkpoint yet" in message


def test_a_state_in_use_is_refused(state: Path, tmp_path: Path) -> None:
    """Whoever holds the lock would overwrite the labels."""
    file = write_labels(tmp_path / "labels.csv", "id,label", "1,2")
    with StateStore(state):
        assert "in use" in refusal("label", "import", file, "--state", state, exit_code=4)


def test_samples_to_label_next_are_suggested(unlabelled: Path, tmp_path: Path) -> None:
    """Most useful first, in two rounds; who has a label is not suggested again."""
    first = answer("label", "suggest", "--state", unlabelled, "--count", 5)
    assert [row["rank"] for row in first] == [1, 2, 3, 4, 5]
    assert {(row["likely"], row["confidence"]) for row in first} == {(None, 0.0)}
    gains = [row["gain"] for row in first]
    assert gains == sorted(gains, reverse=True)
    assert 0 < gains[-1] < gains[0] < 1
    lines = [f"{row['id']},{'ab'[row['rank'] % 2]}" for row in first]
    answer(
        "label", "import", write_labels(tmp_path / "labels.csv", "id,label", *lines),
        "--state", unlabelled,
    )  # fmt: skip
    second = answer("label", "suggest", "--state", unlabelled, "--count", 5)
    assert not {row["id"] for row in first} & {row["id"] for row in second}
    assert {row["likely"] for row in second} <= {"a", "b", None}
    shown = run_command("label", "suggest", "--state", unlabelled, "--count", 5, "--format", "csv")
    assert [line.split(",")[1] for line in shown.stdout.splitlines()[1:]] == [
        row["id"] for row in second
    ]


def test_fewer_are_suggested_where_fewer_have_no_label(unlabelled: Path) -> None:
    """And the user is told so."""
    shown = run_command("label", "suggest", "--state", unlabelled, "--count", 10 * N)
    num_found = len(json.loads(shown.stdout))
    assert 0 < num_found <= N
    assert f"only {num_found} samples of the snapshot have no label" in shown.stderr
    assert "0 is not in the range x>=1" in refusal(
        "label", "suggest", "--state", unlabelled, "--count", 0, exit_code=2
    )
