"""Notes of what is being decoded, and what the next process makes of them."""

import faulthandler
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import TopicPartition

from echo_stream.connectors.codecs import CodecConfig, encode, load_codec
from echo_stream.connectors.kafka.config import KafkaConfig
from echo_stream.connectors.kafka.decoding import RecordDecoder
from echo_stream.connectors.kafka.isolated import notes as decoding_notes
from echo_stream.connectors.kafka.isolated.notes import DecodingNotes
from echo_stream.connectors.kafka.offsets import Offsets
from echo_stream.connectors.kafka.queue import WaitingRecords
from echo_stream.connectors.kafka.records import Record, Records
from echo_stream.connectors.storage.state_locks import hold_lock
from echo_stream.errors import ConfigError
from echo_stream.samples.samples import Origin
from echo_stream.samples.source import Batch
from tests.support.crashes import deadly_codec
from tests.support.crashes.native_damage import image

GOOD = np.array([1, 2], np.float32).tobytes()
PICTURE = image("PNG", "L")
CODEC = CodecConfig(codec=load_codec(f"{deadly_codec.__name__}:DeadlyCodec"))


def origin(offset: int, partition: int = 0) -> Origin:
    """Return where a message lies."""
    return Origin("events", partition, offset, 1_000)


def waiting(values: list[bytes]) -> WaitingRecords:
    """Return messages of one partition, from offset 0 on, that wait to be decoded."""
    partition = TopicPartition("events", 0)
    found = WaitingRecords(Offsets({partition: 0}))
    records = [Record(origin(offset), None, value, []) for offset, value in enumerate(values)]
    fields = [list(column) for column in zip(*records, strict=True)]
    found.extend([(partition, Records(fields[0], fields[1], fields[2]))])
    return found


def dies(job: Any, *arguments: Any) -> int:
    """Return the exit code of a process that does something."""

    def quietly() -> None:
        faulthandler.disable()
        job(*arguments)

    process = multiprocessing.get_context("fork").Process(target=quietly)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def decode_all(folder: Path, values: list[bytes], codec: CodecConfig = CODEC) -> Batch:
    """Decode messages as a source does."""
    with closing(RecordDecoder(codec, notes=folder)) as decoder:
        assert decoder.notes is not None
        decoder.notes.look()
        return decoder.decode(waiting(values), 1_000)


def noted(folder: Path, first: int, last: int, partition: int = 0) -> None:
    """Note messages, and die."""
    notes = DecodingNotes(folder)
    notes.begin(origin(first, partition), origin(last, partition))
    os.kill(os.getpid(), signal.SIGKILL)


def noted_and_done(folder: Path) -> None:
    """Note messages, decode them, and die."""
    notes = DecodingNotes(folder)
    notes.begin(origin(0), origin(9))
    notes.end()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[DecodingNotes]:
    """Return notes in a folder in which a process has died at offsets 5 to 7 of partition 1."""
    assert dies(noted, tmp_path, 5, 7, 1) == -signal.SIGKILL
    with closing(DecodingNotes(tmp_path)) as found:
        found.look()
        yield found


def test_messages_of_a_process_that_died_are_suspected(notes: DecodingNotes) -> None:
    """These alone, of their partition."""
    assert [offset for offset in range(10) if notes.is_suspect(origin(offset, 1))] == [5, 6, 7]
    assert not notes.is_suspect(origin(6, 0))


def test_suspicion_ends_with_a_checkpoint_behind_them(notes: DecodingNotes, tmp_path: Path) -> None:
    """Until then each process that starts finds them again."""
    for offsets in ({"events/1": 7}, {"events/0": 100}, {}):
        notes.passed(offsets)
        assert notes.has_suspects
    with closing(DecodingNotes(tmp_path)) as another:
        another.look()
        assert another.is_suspect(origin(7, 1))
    notes.passed({"events/1": 8})
    assert not notes.has_suspects
    assert not list(tmp_path.iterdir())


def test_death_between_two_batches_leaves_no_suspect(tmp_path: Path) -> None:
    """The file that it leaves is removed by the next process."""
    dies(noted_and_done, tmp_path)
    assert list(tmp_path.iterdir())
    with closing(DecodingNotes(tmp_path)) as notes:
        notes.look()
        assert not notes.has_suspects
    assert not list(tmp_path.iterdir())


def test_what_a_living_process_decodes_is_not_suspected(tmp_path: Path) -> None:
    """Members of a group share the folder."""
    with closing(DecodingNotes(tmp_path)) as living, closing(DecodingNotes(tmp_path)) as notes:
        living.begin(origin(0), origin(9))
        notes.look()
        assert not notes.has_suspects
        living.end()


def test_file_that_was_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process found it just then, and took it for that of a dead one."""

    def hold_late(path: Path) -> Any:
        monkeypatch.undo()
        path.touch()
        with closing(DecodingNotes(tmp_path)) as another:
            another.look()
        lock = hold_lock(path)
        path.unlink()
        return lock

    monkeypatch.setattr(decoding_notes, "hold_lock", hold_late)
    with closing(DecodingNotes(tmp_path)) as notes:
        notes.begin(origin(0), origin(9))
        (path,) = tmp_path.iterdir()
        assert path.read_bytes().startswith(b'["events/0",0,9]')
        notes.end()


@pytest.mark.parametrize("content", [b"", b"\n", b"[1]", b'["events/0", 1', b"null", b"\xff"])
def test_half_a_note_suspects_nothing(tmp_path: Path, content: bytes) -> None:
    """Whoever wrote it was decoding nothing yet."""
    (tmp_path / "half.note").write_bytes(content)
    with closing(DecodingNotes(tmp_path)) as notes:
        notes.look()
        assert not notes.has_suspects


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deadly", "code", "words"),
    [
        (deadly_codec.SEGFAULT, -signal.SIGSEGV, "killed the decoder: SIGSEGV"),
        (deadly_codec.END, 3, "killed the decoder: exit code 3"),
    ],
)
def test_deadly_message_is_set_aside_by_the_next_process(
    tmp_path: Path, deadly: bytes, code: int, words: str
) -> None:
    """It alone, as it came; those around it are decoded, in their order."""
    values = [GOOD, GOOD, deadly, GOOD]
    assert dies(decode_all, tmp_path, values) == code
    with closing(RecordDecoder(CODEC, notes=tmp_path)) as decoder:
        assert decoder.notes is not None
        decoder.notes.look()
        messages = waiting(values)
        first, rest = decoder.decode(messages, 1_000), decoder.decode(messages, 1_000)
        decoder.notes.passed({"events/0": 4})
    (dead_letter,) = first.rejected
    assert (dead_letter.message, dead_letter.reason, dead_letter.value) == (words, "decode", deadly)
    assert (dead_letter.origin, dead_letter.place) == (origin(2), 2)
    assert (first.num_samples, rest.num_samples, list(rest.rejected)) == (2, 1, [])
    assert not list(tmp_path.iterdir())


def killed_at_picture(folder: Path) -> None:
    """Die of a SIGKILL in the midst of pictures, as when memory is short."""

    def kill(record: Record) -> Any:
        assert record.value == PICTURE
        os.kill(os.getpid(), signal.SIGKILL)

    decoder = RecordDecoder(CodecConfig(), notes=folder)
    decoder._read = kill  # type: ignore[method-assign]  # noqa: SLF001 - from outside
    decoder.decode(waiting([PICTURE] * 3), 1_000)


def test_kill_from_outside_loses_nothing(tmp_path: Path) -> None:
    """What was being decoded then is decoded as ever."""
    assert dies(killed_at_picture, tmp_path) == -signal.SIGKILL
    batch = decode_all(tmp_path, [PICTURE] * 3, CodecConfig())
    undisturbed = decode_all(tmp_path / "new", [PICTURE] * 3, CodecConfig())
    assert batch.samples is not None
    assert undisturbed.samples is not None
    np.testing.assert_array_equal(batch.samples.x, undisturbed.samples.x)
    assert batch.samples.ids.tolist() == undisturbed.samples.ids.tolist()


@pytest.mark.parametrize("format", ["npy", "json"])
def test_what_kills_no_decoder_is_not_noted(format: Any, tmp_path: Path) -> None:
    """`.npy` and JSON need no native decoder, and no file."""
    _, value, _ = encode(np.ones(2, np.float32), None, None, format)
    assert decode_all(tmp_path / "notes", [value] * 3, CodecConfig()).num_samples == 3
    assert not (tmp_path / "notes").exists()


def test_codec_that_cannot_be_made_twice_is_refused(tmp_path: Path) -> None:
    """Another process could not decode what has killed the first one."""
    codec = CodecConfig(codec=deadly_codec.DeadlyCodec())
    with pytest.raises(ConfigError, match="load_codec"):
        KafkaConfig(("events",), "localhost:9092", codec, notes=tmp_path)
