"""Dead letters: every byte of a message is kept, on a line of its own, whatever happens."""

import base64
import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_stream.connectors.dead_letters.files import LOCK_FILE, DeadLetterFile, read_dead_letters
from echo_stream.connectors.dead_letters.numbered_files import FIRST_FILE
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.connectors.storage import state_locks
from echo_stream.errors import InfrastructureError, StateError
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample
from tests.support.bad_messages import dead_letter, messages
from tests.support.crashes.disks import full_disk

KILLED = 9

# Writes one message, flushes it, writes another, and dies.
DYING_WRITER = f"""
import os, sys
from pathlib import Path
from echo_stream.connectors.dead_letters.files import DeadLetterFile
from echo_stream.samples.source import RejectedSample

letters = DeadLetterFile(Path(sys.argv[1]))
for value in (b"flushed", b"lost"):
    letters.write([RejectedSample("decode", "no sample", None, value, (), None)])
    if value == b"flushed":
        letters.flush()
os._exit({KILLED})
"""


def write(folder: Path, *rejected: RejectedSample) -> Path:
    """Write messages in a run of its own, and return the file."""
    with closing(DeadLetterFile(folder)) as dead_letters:
        dead_letters.write(rejected)
        dead_letters.flush()
    return folder / FIRST_FILE


def lines(path: Path) -> list[dict[str, Any]]:
    """Return what readers make of a file: blank lines do not count."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def values(path: Path) -> list[bytes]:
    """Return the values of the messages in a file."""
    return [base64.b64decode(line["value"]) for line in lines(path)]


@settings(max_examples=40)
@given(st.lists(st.lists(messages, max_size=3), max_size=4))
def test_messages_come_back_whole(batches: list[list[RejectedSample]]) -> None:
    """Key, value and headers byte for byte, in the order of arrival, over several runs."""
    with tempfile.TemporaryDirectory() as folder:
        for batch in batches:
            write(Path(folder), *batch)
        found = [dead_letter.sample for dead_letter in read_dead_letters(Path(folder))]
    assert found == [message for batch in batches for message in batch]


def test_a_lost_batch_comes_back(tmp_path: Path) -> None:
    """With its offsets and the number of its messages."""
    batch = RejectedSample(
        "batch", "too large", None, None, (), Origin("t", 0, 3, 9), last_offset=7, num_messages=4
    )
    write(tmp_path, batch)
    assert [each.sample for each in read_dead_letters(tmp_path)] == [batch]


def test_line_says_where_a_message_came_from(tmp_path: Path) -> None:
    """One JSON object a message, with names that people can search for."""
    path = write(
        tmp_path,
        RejectedSample(
            "schema", "x is ragged", b"7", b"\xff\n", (("id", None),), Origin("t", 1, 42, 5)
        ),
    )
    assert path.name == "000000000001.jsonl"
    text = re.sub(r'"crc32": [0-9]+', '"crc32": CRC', path.read_text())
    assert text == (
        '{"reason": "schema", "message": "x is ragged", "exception": "", '
        '"origin": {"topic": "t", "partition": 1, "offset": 42, "timestamp": 5}, '
        '"key": "Nw==", "value": "/wo=", "headers": [["id", null]], "truncated": null, '
        '"crc32": CRC}\n'
    )


def test_no_file_without_messages(tmp_path: Path) -> None:
    """A run in which nothing was refused leaves no trace."""
    with closing(DeadLetterFile(tmp_path / "dead-letters")) as dead_letters:
        dead_letters.flush()
    assert list(tmp_path.iterdir()) == []


def test_later_runs_append(tmp_path: Path) -> None:
    """What is there is kept."""
    write(tmp_path / "dead-letters", dead_letter(b"1"), dead_letter(b"2"))
    assert values(write(tmp_path / "dead-letters", dead_letter(b"3"))) == [b"1", b"2", b"3"]


def test_flush_makes_messages_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it returns, a power cut loses nothing of what was taken in."""
    durable, fsync = [], os.fsync

    def spy(handle: int) -> None:
        fsync(handle)
        path = Path(f"/proc/self/fd/{handle}")
        if path.is_file():
            durable.append(path.read_bytes().count(b"\n"))

    monkeypatch.setattr(os, "fsync", spy)
    with closing(DeadLetterFile(tmp_path)) as dead_letters:
        dead_letters.write([dead_letter(b"1"), dead_letter(b"2")])
        assert durable == []
        dead_letters.flush()
        assert durable[-1] == 2
        dead_letters.write([dead_letter(b"3")])
        dead_letters.flush()
    assert durable[-1] == 3


@pytest.mark.slow
def test_killed_process_loses_only_what_was_not_flushed(tmp_path: Path) -> None:
    """Messages that were flushed are there, and the next run goes on after them."""
    died = subprocess.run([sys.executable, "-c", DYING_WRITER, tmp_path], check=False)
    assert died.returncode == KILLED
    assert values(tmp_path / FIRST_FILE) == [b"flushed"]
    assert values(write(tmp_path, dead_letter(b"next"))) == [b"flushed", b"next"]


@pytest.mark.parametrize("size", range(1, 120, 7))
def test_cut_line_does_not_spoil_the_next(tmp_path: Path, size: int) -> None:
    """Where a crash has cut the last line, only that message is invalid."""
    path = write(tmp_path, dead_letter(b"1"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:size])
    write(tmp_path, dead_letter(b"2"))
    first, cut, *rest = [line for line in path.read_text().split("\n") if line]
    assert cut == whole.decode()[:size]
    assert json.loads(first)["value"] == "MQ=="
    assert [json.loads(line)["value"] for line in rest] == ["Mg=="]
    found = [(place, sample) for place, sample, *_ in read_dead_letters(tmp_path)]
    assert found == [(1, dead_letter(b"1")), (2, None), (3, dead_letter(b"2"))]


def test_folder_in_the_way(tmp_path: Path) -> None:
    """A message that cannot be kept ends the run before it is passed over."""
    (tmp_path / "dead-letters").write_text("mine")
    dead_letters = DeadLetterFile(tmp_path / "dead-letters")
    dead_letters.write([dead_letter(b"1")])
    with pytest.raises(StateError, match=r"cannot (write|use) .*dead-letters"):
        dead_letters.flush()


def test_disk_that_stays_full(tmp_path: Path) -> None:
    """A flush that fails says so; when there is space again, each message is there once."""
    dead_letters = DeadLetterFile(tmp_path, RetryPolicy(0))
    dead_letters.write([dead_letter(b"1")])
    with full_disk(50), pytest.raises(InfrastructureError, match="File too large; nothing has be"):
        dead_letters.flush()
    dead_letters.write([dead_letter(b"2")])
    dead_letters.flush()
    dead_letters.close()
    assert values(tmp_path / FIRST_FILE) == [b"1", b"2"]


def test_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    """It is tried again, with longer pauses, and nothing is left of a line that was begun."""
    space, pauses = ExitStack(), []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            space.close()

    dead_letters = DeadLetterFile(tmp_path, RetryPolicy(20, clock=lambda: sum(pauses), sleep=pause))
    with space:
        space.enter_context(full_disk(50))
        dead_letters.write([dead_letter(b"1"), dead_letter(b"2")])
        dead_letters.flush()
        dead_letters.close()
    assert pauses == [0.1, 0.2, 0.4]
    assert values(tmp_path / FIRST_FILE) == [b"1", b"2"]


def test_processes_that_share_a_state_cut_no_line_of_another(tmp_path: Path) -> None:
    """Neither while the disk is full for one of them, nor where one has died in the midst."""
    ours, theirs = (DeadLetterFile(tmp_path, RetryPolicy(0)) for _ in range(2))
    with closing(ours), closing(theirs):
        for dead_letters, value in ((ours, b"1"), (theirs, b"2")):  # both have it open
            dead_letters.write([dead_letter(value)])
            dead_letters.flush()
        ours.write([dead_letter(b"long" * 1_000)])
        with full_disk(1_000), pytest.raises(InfrastructureError):
            ours.flush()
        theirs.write([dead_letter(b"3")])
        theirs.flush()
        ours.flush()
        path = tmp_path / FIRST_FILE
        path.write_bytes(path.read_bytes() + b'{"reason": "de')
        theirs.write([dead_letter(b"4")])
        theirs.flush()
    found = [
        None if sample is None else sample.value for _, sample, *_ in read_dead_letters(tmp_path)
    ]
    assert found == [b"1", b"2", b"3", b"long" * 1_000, None, b"4"]


def test_nobody_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs while it appends is named by its file; nothing that waits is dropped."""
    monkeypatch.setattr(state_locks, "WAIT_LIMIT_S", 0.1)
    path = write(tmp_path, dead_letter(b"1"))
    dead_letters = DeadLetterFile(tmp_path)
    dead_letters.write([dead_letter(b"2")])
    with closing(dead_letters), (tmp_path / LOCK_FILE).open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StateError, match=r"/lock has been locked for 0.1 s; look"):
            dead_letters.flush()
        fcntl.flock(other, fcntl.LOCK_UN)
        dead_letters.flush()
    assert values(path) == [b"1", b"2"]


def test_who_appends_waits_for_others(tmp_path: Path) -> None:
    """What another has begun is ended, or taken back, before anything is put behind it."""
    path = write(tmp_path, dead_letter(b"1"))
    with (tmp_path / LOCK_FILE).open("ab") as other, ThreadPoolExecutor(1) as thread:
        fcntl.flock(other, fcntl.LOCK_EX)
        begun = thread.submit(write, tmp_path, dead_letter(b"2"))
        with pytest.raises(TimeoutError):
            begun.result(timeout=0.3)
        assert values(path) == [b"1"]
        fcntl.flock(other, fcntl.LOCK_UN)
        begun.result()
    assert values(path) == [b"1", b"2"]
