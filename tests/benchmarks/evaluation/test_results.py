"""Results outlive kills, and are written by one run alone."""

from pathlib import Path

import pytest

from benchmarks.evaluation.results import appending, failed, read_results, unfinished
from benchmarks.evaluation.trial import Trial
from echo_stream.errors import ConfigError, DataError


def test_lines_are_added_and_the_last_of_a_key_counts(tmp_path: Path) -> None:
    """A second opening goes on behind what there is; several files are one."""
    paths = [tmp_path / "results" / name for name in ("a.jsonl", "b.jsonl", "c.jsonl")]
    for path, lines in ((paths[0], [("x", 1), ("y", 2)]), (paths[0], [("x", 3)])):
        with appending(path) as results:
            for key, value in lines:
                results.append({"key": key, "value": value})
    with appending(paths[1]) as results:
        results.append({"key": "z", "value": 4})
    found = read_results(paths)
    assert {key: line["value"] for key, line in found.items()} == {"x": 3, "y": 2, "z": 4}


def test_a_line_that_was_cut_short_is_none(tmp_path: Path) -> None:
    """Neither when it is read, nor for the line that is written next."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"key": "x"}\n{"key": "y", "acc')
    assert set(read_results([path])) == {"x"}
    with appending(path) as results:
        results.append({"key": "z"})
    assert set(read_results([path])) == {"x", "z"}


def test_what_has_failed_takes_no_place(tmp_path: Path) -> None:
    """Of a trial that is done, in whatever order files are given; a repetition takes its own."""
    trial = Trial("mnist", 60, "random")
    paths = [tmp_path / name for name in ("good.jsonl", "bad.jsonl")]
    for path, line in zip(
        paths, (failed(trial, "") | {"error": None}, failed(trial, "oh")), strict=True
    ):
        with appending(path) as results:
            results.append(line)
    for order in (paths, paths[::-1]):
        assert read_results(order)[trial.key]["error"] is None
    assert read_results(paths[1:])[trial.key]["error"] == "oh"


@pytest.mark.parametrize("text", [b"oh", b"[]", b'{"no": "key"}', b"\xff"])
def test_a_line_that_is_no_result_is_named(tmp_path: Path, text: bytes) -> None:
    """With its file and its number; nothing is taken for results that may be another's."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"key": "x"}\n' + text + b'\n{"key": "y"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl: line 2 is no result of a trial"):
        read_results([path])


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    """The second is told so."""
    path = tmp_path / "a.jsonl"
    refused = pytest.raises(ConfigError, match="another run is writing")
    with appending(path), refused, appending(path):
        pass


def test_what_has_no_line_or_failed_is_unfinished() -> None:
    """What has failed may work the next time."""
    trials = [Trial("mnist", 60, "random", seed=seed) for seed in range(3)]
    lines = [failed(trials[0], "oh"), failed(trials[1], "") | {"error": None}]
    found = unfinished(trials, {line["key"]: line for line in lines})
    assert found == [trials[0], trials[2]]
