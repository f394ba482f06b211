"""What `build` and `run` say of their data: what was taken, what was left out, what looks wrong."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_digits

from tests.support.commands import TINY, N, Result, on, refusal, run_command, send, write_data
from tests.support.data_files import write_images, write_parquet
from tests.support.kafka.broker import Broker
from tests.support.kafka.topics import MakeTopic

Columns = dict[str, Any]
RNG = np.random.default_rng(3)
AGE, INCOME = RNG.normal(40, 10, N), RNG.normal(5e4, 2e4, N)
NAMES = [f"n{row}" for row in range(N)]
CITIES = pa.array(["Bonn", "Köln"] * (N // 2)).dictionary_encode()
CITY = "city (dictionary<values=string, indices=int32, ordered=0>)"


def told(result: Result) -> list[str]:
    """Return the notes and warnings of a command that has succeeded."""
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    return [line for line in lines if line.startswith(("Note: ", "Warning: "))]


@pytest.fixture(params=["build", "run"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[object]:
    """Return the words of a command that lack DATA."""
    where = ["--out", tmp_path / "out"] if request.param == "build" else ["--state", tmp_path / "s"]
    return [request.param, *where, *TINY]


def test_table(tmp_path: Path, command: list[object]) -> None:
    """Features, label and id by name; text and categories are left out by name and type."""
    data = write_parquet(
        tmp_path / "customers.parquet",
        age=AGE, visits=AGE + 1, name=NAMES, city=CITIES, label=[0, 1] * (N // 2), id=NAMES,
    )  # fmt: skip
    result = run_command(*command, data)
    assert told(result) == [
        f"Note: {data}: using 2 columns (age, visits) as features, column label as label, "
        "column id as id",
        f"Note: {data}: ignoring name (string), {CITY}",
    ]
    assert result.json()["inputs"] == {
        "features": "2 columns (age, visits)", "label": "column label", "id": "column id",
        "ignored": {"name": "string", "city": CITY[6:-1]}, "warnings": [],
    }  # fmt: skip


@pytest.mark.parametrize("name", ["target", "Class", "LABEL"])
def test_feature_that_looks_like_a_label(tmp_path: Path, command: list[object], name: str) -> None:
    """It is a feature all the same, and every label is missing: both are told."""
    data = write_parquet(tmp_path / "a.parquet", **Columns({"age": AGE, name: [0, 1] * (N // 2)}))
    assert told(run_command(*command, data)) == [
        f"Note: {data}: using 2 columns (age, {name}) as features, nothing as label, "
        "the row number as id",
        f"Warning: {data}: the feature {name} looks like a label; rename it to label, or leave it "
        "out of the data",
        f"Warning: {data}: none of the first {N} samples has a label, which `train` needs",
    ]


def test_text_that_looks_like_a_label(tmp_path: Path, command: list[object]) -> None:
    """It is left out, and told twice: once as such."""
    data = write_parquet(tmp_path / "a.parquet", **Columns({"age": AGE, "class": NAMES}))
    assert told(run_command(*command, data))[1:3] == [
        f"Note: {data}: ignoring class (string)",
        f"Warning: {data}: class looks like a label, and is ignored; rename it to label if it is",
    ]


def test_each_name_that_looks_like_a_label(tmp_path: Path, command: list[object]) -> None:
    """Features and what is left out alike are told."""
    data = write_parquet(
        tmp_path / "a.parquet",
        **Columns({"age": AGE, "target": AGE, "Labels": AGE, "class": NAMES}),
    )
    lines = [line for line in told(run_command(*command, data)) if "looks like a label" in line]
    assert [line.split(" looks")[0].split()[-1] for line in lines] == ["target", "Labels", "class"]


@pytest.mark.parametrize("name", ["id", "y"])
def test_long_text_is_named_with_its_row(tmp_path: Path, command: list[object], name: str) -> None:
    """File, row and option are in the message."""
    words = [f"a{row}" for row in range(N - 1)] + ["a" * 400]
    data = write_data(tmp_path / "data.npz", **Columns({name: np.array(words)}))
    message = refusal(*command, data, exit_code=1)
    assert f"{data}: the {'id' if name == 'id' else 'label'} 'aaa" in message
    assert f"in row {N - 1} has 400 bytes" in message
    assert message.strip().endswith("or raise --max-text-bytes")


def test_scales(tmp_path: Path, command: list[object]) -> None:
    """Very different ones are told with the option that helps, which ends the warning."""
    data = write_parquet(tmp_path / "a.parquet", age=AGE, income=INCOME, y=[0, 1] * (N // 2))
    before = f"Warning: {data}: the scales of features differ by a factor of "
    after = (
        " (the largest is that of income, the smallest of age), so that the largest alone decide "
        "what is near; give --standardise"
    )
    (line,) = told(run_command(*command, data))[1:]
    assert line.startswith(before)
    assert line.endswith(after)
    assert 1_000 < int(line.removeprefix(before).removesuffix(after).replace(",", "")) < 3_000
    command[2] = tmp_path / "again"
    assert len(told(run_command(*command, data, "--standardise"))) == 1


@pytest.mark.parametrize(
    ("num_known", "words"),
    [
        (N, None),
        (N // 2, None),
        (N // 2 - 1, f"{N // 2 + 1} of the first {N} samples have no label"),
        (0, f"none of the first {N} samples has a label, which `train` needs"),
    ],
)
def test_missing_labels(
    tmp_path: Path, command: list[object], num_known: int, words: str | None
) -> None:
    """More than half of them, and all, are told."""
    known = np.arange(N) < num_known
    data = write_data(tmp_path / "data.npz", y_known=known)
    expected = [] if words is None else [f"Warning: {data}: {words}"]
    assert told(run_command(*command, data))[1:] == expected


def test_arrays_that_are_not_read(tmp_path: Path, command: list[object]) -> None:
    """Of an archive they are left out by name."""
    data = write_data(tmp_path / "data.npz", weights=AGE)
    assert told(run_command(*command, data)) == [
        f"Note: {data}: using array x as features, array y as label, the row number as id",
        f"Note: {data}: ignoring weights (array)",
    ]


def digits(folder: Path) -> Path:
    """Write scikit-learn's digits as floats."""
    x, y = load_digits(return_X_y=True)
    return write_data(folder / "data.npz", x=x[:N].astype(np.float32), y=y[:N])


def images(folder: Path) -> Path:
    """Write images, of which most pixels are black."""
    pixels = RNG.integers(0, 256, (20, 6, 5)).astype(np.uint8)
    pixels[:, 2:] = 0
    return write_images(
        folder / "data", {f"c{row % 2}/{row}.png": x for row, x in enumerate(pixels)}
    )


def embeddings(folder: Path) -> Path:
    """Write vectors of length one, an axis of which is dead."""
    x = RNG.normal(size=(N, 64)) * np.r_[1e-6, np.ones(63)]
    return write_data(folder / "data.npz", x=x / np.linalg.norm(x, axis=1, keepdims=True))


@pytest.mark.parametrize("write", [digits, images, embeddings])
def test_no_false_warning(tmp_path: Path, command: list[object], write: Any) -> None:
    """Digits, images and ready embeddings bring a note, and nothing else."""
    assert [line[:5] for line in told(run_command(*command, write(tmp_path)))] == ["Note:"]


def test_json_log(tmp_path: Path) -> None:
    """Where the log is JSON, they are lines of it, with their level."""
    data = write_parquet(tmp_path / "a.parquet", age=AGE, target=AGE)
    result = run_command("run", data, "--state", tmp_path / "s", *TINY, "--log-format", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [line["level"] for line in lines[:2]] == ["info", "warning"]
    assert lines[1]["message"].startswith(f"{data}: the feature target looks like a label")


def test_names_cannot_reach_the_terminal(tmp_path: Path, command: list[object]) -> None:
    """A name with control characters is escaped, and a long one cut."""
    data = write_parquet(
        tmp_path / "a.parquet", **Columns({"age": AGE, "\x1b[2J": NAMES, "n" * 99: NAMES})
    )
    assert (
        f"ignoring '\\x1b[2J' (string), {'n' * 60}… (string)"
        in told(run_command(*command, data))[1]
    )


def test_json_events(broker: Broker, make_topic: MakeTopic, tmp_path: Path) -> None:
    """Labels of the field label are kept, what is left out is told, and no event is a label."""
    topic, state = make_topic(), tmp_path / "state"
    samples = [
        json.dumps({"id": row, "x": [row, row % 7], "label": row % 3, "city": "Bonn"}).encode()
        for row in range(60)
    ]
    events = [json.dumps({"id": row, "y": row, "temperature": 0.5}).encode() for row in range(30)]
    send(broker, topic, samples + events)
    result = run_command("run", *on(broker, topic), "--until-end", "--state", state, *TINY)
    assert told(result) == [
        f"Note: topic {topic}: using x as features, header, field or column label (or y) as label, "
        "header, field, column or key as id",
        f"Note: topic {topic}: ignoring city (no field of a sample)",
    ]
    report = result.json()
    counts = {name: report[name] for name in ("samples", "rejected", "num_labelled")}
    assert counts == {"samples": 60, "rejected": 30, "num_labelled": 0}
    sql = "SELECT count(*) AS wrong FROM coreset WHERE label IS DISTINCT FROM id::INT % 3"
    assert run_command("query", sql, "--state", state).json() == [{"wrong": 0}]
