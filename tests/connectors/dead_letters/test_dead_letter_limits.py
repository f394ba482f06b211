"""Dead letters keep to their limits, whatever comes, and lose none but the oldest."""

import gzip
import json
import os
import random
import signal
from contextlib import closing
from pathlib import Path

import pytest

from echo_stream.connectors.dead_letters.files import DeadLetterFile, num_removed, read_dead_letters
from echo_stream.connectors.dead_letters.limits import DeadLetterLimits
from echo_stream.connectors.dead_letters.numbered_files import (
    MAX_LINES,
    MAX_UNPACKED_BYTES,
    dead_letter_files,
)
from echo_stream.connectors.process.retrying import RetryPolicy
from echo_stream.errors import ConfigError, StateError
from echo_stream.run.report import RunStats
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import RejectedSample
from tests.support.crashes.failpoints import Failpoints
from tests.support.crashes.power_cut import Ledger, cut_power

SMALL = DeadLetterLimits(1024, 64 * 1024)
LETTERS = 90  # some twice as many as are kept
BATCH = 3
SPAN = 6  # dead letters of a process that dies: enough to begin a file, and to remove one
MOST_STEPS = 600


def dead_letter(offset: int, size: int = 700) -> RejectedSample:
    """Return a message of bytes that do not compress."""
    value = random.Random(offset).randbytes(size)
    return RejectedSample("decode", "no sample", b"k", value, (), Origin("t", 0, offset, 5))


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def offsets(folder: Path) -> list[int]:
    """Return the offsets of the dead letters, checked to be whole."""
    found = []
    for each in read_dead_letters(folder):
        if each.sample is not None:
            assert each.sample.origin is not None
            assert each.sample == dead_letter(each.sample.origin.offset)
            found.append(each.sample.origin.offset)
    return found


def test_the_oldest_go(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All files keep to the limit at any time; numbers stay, and what has gone is counted."""
    stats, sizes = RunStats(), []
    with closing(DeadLetterFile(tmp_path, limits=SMALL, stats=stats)) as dead_letters:
        for offset in range(LETTERS):
            dead_letters.write([dead_letter(offset)])
            dead_letters.flush()
            sizes.append(size_of(tmp_path))
    assert SMALL.total_bytes / 2 < max(sizes) <= SMALL.total_bytes
    found = offsets(tmp_path)
    assert 0 < found[0] == stats.dead_letters_removed == num_removed(tmp_path)
    assert found == list(range(found[0], LETTERS))
    assert [each.place for each in read_dead_letters(tmp_path)] == [number + 1 for number in found]
    (line,) = caplog.messages
    assert line.startswith("the oldest ")


def test_what_has_gone_is_told_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines together tell of all, whatever the pace at which files go."""
    now_s, stats = [0.0], RunStats()
    with closing(
        DeadLetterFile(tmp_path, limits=SMALL, stats=stats, clock=lambda: now_s[0])
    ) as dead_letters:
        for offset in range(2 * LETTERS):
            dead_letters.write([dead_letter(offset)])
            dead_letters.flush()
        now_s[0] = 60.0
        dead_letters.write([dead_letter(0)])
        dead_letters.flush()
    told = [int(line.split()[2]) for line in caplog.messages]
    assert len(told) == 2
    assert sum(told) == stats.dead_letters_removed


def test_what_is_large_is_cut(tmp_path: Path) -> None:
    """Value, key and headers each, and the size of the whole value is told."""
    large = RejectedSample(
        "decode", "w" * 9_000, b"k" * 5_000, b"v" * 6_000, (("h", b"x" * 5_000),), None
    )
    stats, named = RunStats(), [("n" * 9_000, None)]
    with closing(DeadLetterFile(tmp_path, limits=SMALL, stats=stats)) as dead_letters:
        dead_letters.write(
            [large, dead_letter(1), RejectedSample("decode", "", None, None, tuple(named), None)]
        )
        dead_letters.flush()
    cut, whole, nameless = read_dead_letters(tmp_path)
    assert cut.sample is not None
    assert (cut.is_truncated, cut.size_bytes) == (True, 6_000)
    assert (cut.sample.key, cut.sample.value) == (b"k" * 1024, b"v" * 1024)
    assert (cut.sample.headers, len(cut.sample.message)) == ((), 2_000)
    assert (whole.sample, whole.is_truncated) == (dead_letter(1), False)
    assert (nameless.is_truncated, nameless.size_bytes) == (True, 0)
    assert stats.dead_letters_truncated == 2


def test_a_batch_of_large_letters_keeps_to_the_limit(tmp_path: Path) -> None:
    """What one batch brings is written as it comes, never all at once."""
    with closing(DeadLetterFile(tmp_path, limits=SMALL)) as dead_letters:
        dead_letters.write([dead_letter(offset, 100_000) for offset in range(200)])
        dead_letters.flush()
    assert size_of(tmp_path) <= SMALL.total_bytes
    assert all(each.is_truncated for each in read_dead_letters(tmp_path))


@pytest.mark.parametrize("limits", [(0, 2**20), (2**25, 2**40), (1024, 64 * 1024 - 1), (1, 1)])
def test_limits_that_hold_nothing(limits: tuple[int, int]) -> None:
    """They are refused before anything is lost."""
    with pytest.raises(ConfigError, match="must be"):
        DeadLetterLimits(*limits)


def filled(folder: Path) -> Path:
    """Write dead letters, and return the oldest file."""
    with closing(DeadLetterFile(folder, limits=SMALL)) as dead_letters:
        for offset in range(30):
            dead_letters.write([dead_letter(offset)])
            dead_letters.flush()
    return dead_letter_files(folder)[0].path


def test_a_damaged_file_hides_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is named, and no dead letter of it is wrong."""
    path = filled(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    next_first = dead_letter_files(tmp_path)[1].first
    found = offsets(tmp_path)
    assert set(range(next_first - 1, 30)) <= set(found)
    assert f"{path} is damaged" in caplog.text


def test_a_flipped_bit_of_the_newest_file_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The dead letter is marked or left out with a warning, and never becomes another one."""
    filled(tmp_path)
    written, num_told = offsets(tmp_path), 0
    path, rng = dead_letter_files(tmp_path)[-1].path, random.Random(1)
    whole = path.read_bytes()
    for _ in range(100):
        content = bytearray(whole)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        caplog.clear()
        num_lines = len(list(read_dead_letters(tmp_path)))
        found = offsets(tmp_path)
        assert set(found) <= set(written)
        is_told = bool(caplog.text) or num_lines > len(found)
        assert is_told or found == written
        num_told += is_told
    assert num_told > 90


def test_a_bomb_is_not_unpacked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that unpacks to more than any has is left, one without lines too."""
    path = filled(tmp_path)
    for piece, size in ((b"\n", 2 * MAX_LINES), (b" ", 2 * MAX_UNPACKED_BYTES)):
        with gzip.open(path, "wb", compresslevel=1) as file:
            for _ in range(size // 2**20):
                file.write(piece * 2**20)
        assert offsets(tmp_path)[-1] == 29
        assert f"{path} is damaged: it unpacks to more than" in caplog.text
        caplog.clear()


def test_a_file_of_before_is_refused(tmp_path: Path) -> None:
    """Neither read nor written beside, since its dead letters would be forgotten."""
    (tmp_path / "dead-letters.jsonl").write_text("{}\n")
    with pytest.raises(StateError, match="move it away"):
        list(read_dead_letters(tmp_path))
    with closing(DeadLetterFile(tmp_path)) as dead_letters:
        dead_letters.write([dead_letter(1)])
        with pytest.raises(StateError, match="move it away"):
            dead_letters.flush()


@pytest.mark.slow
@pytest.mark.parametrize("has_power", [True, False], ids=["kill", "power cut"])
def test_death_at_any_step_loses_none_but_the_oldest(tmp_path: Path, *, has_power: bool) -> None:
    """While dead letters are appended, compressed and removed; the next process goes on."""
    begun = tmp_path / "begun"
    write_until(begun, 0, LETTERS - SPAN)
    steps = 0
    for before in range(MOST_STEPS):
        folder = tmp_path / f"{before}"
        folder.mkdir()
        for path in begun.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        flushed = died(folder, before, tmp_path / "ledger", has_power=has_power)
        write_until(folder, LETTERS, LETTERS + 1)
        found = offsets(folder)
        expected = [*range(found[0], flushed), LETTERS]
        assert set(expected) <= set(found), f"death before {before}"
        assert found[0] <= LETTERS // 2 + 12
        assert size_of(folder) <= SMALL.total_bytes
        if flushed == LETTERS:
            break
        steps += 1
    assert 20 < steps < MOST_STEPS


def write_until(folder: Path, begin: int, end: int) -> None:
    """Write dead letters of some offsets."""
    with closing(DeadLetterFile(folder, RetryPolicy(0), SMALL)) as dead_letters:
        for offset in range(begin, end, BATCH):
            dead_letters.write(
                [dead_letter(each) for each in range(offset, min(offset + BATCH, end))]
            )
            dead_letters.flush()


def died(folder: Path, before: int, ledger: Path, *, has_power: bool) -> int:
    """Let a process write and die before an operation; return the first that is not flushed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            Failpoints(folder, before, ledger).arm()
            for offset in range(LETTERS - SPAN, LETTERS, BATCH):
                write_until(folder, offset, offset + BATCH)
                os.write(writing, b".")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        flushed = LETTERS - SPAN + BATCH * len(pipe.read())
    _, status = os.waitpid(child, 0)
    is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if is_killed and not has_power:
        cut_power(folder, Ledger(**json.loads(ledger.read_text())))
    return flushed
