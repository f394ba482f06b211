"""Every client of ours gets in by TLS and a password, and says so clearly where it does not."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import TINY, answer, newest_checkpoint, refusal, write_data
from tests.support.kafka.apache_kafka import missing_programs
from tests.support.kafka.broker import is_apache_required
from tests.support.kafka.secure_kafka import PASSWORD, USER, SecureBroker, secure_broker


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    """Run a broker of our own; skip where Apache Kafka is not to be had and not required."""
    if missing_programs() and not is_apache_required():
        pytest.skip(" and ".join(missing_programs()))
    made = secure_broker(tmp_path_factory.mktemp("secure"))
    with made.broker:
        yield made


@pytest.fixture
def login(secure: SecureBroker, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the options that let a client in; the password is in the environment."""
    monkeypatch.setenv("ECHO_STREAM_SASL_PASSWORD", PASSWORD)
    return [
        "--bootstrap-servers", secure.bootstrap, "--security-protocol", "SASL_SSL",
        "--ssl-cafile", secure.certificate, "--sasl-mechanism", "SCRAM-SHA-512",
        "--sasl-username", USER,
    ]  # fmt: skip


def test_there_and_back(login: list[object], tmp_path: Path) -> None:
    """Produce, run, dead letters and replay: consumer, producer and admin clients."""
    np.save(tmp_path / "other.npy", np.ones((1, 3), np.float32))
    for data in (write_data(tmp_path / "data.npz"), tmp_path / "other.npy"):
        answer("produce", data, *login, "--topic", "events")
    run = ["run", *login, "--topic", "events", "--until-end", "--state", tmp_path / "s", *TINY]
    report = answer(*run, "--dead-letter-topic", "bad")
    assert (report["n"], report["rejected"]) == (300, 1)
    kept = [*login, "--dead-letter-topic", "bad"]
    (row,) = answer("dlq", "list", *kept)
    assert row["reason"] == "schema"
    assert answer("dlq", "replay", row["place"], *kept, "--topic", "again")["messages"] == 1
    manifest = (tmp_path / "s" / "checkpoints").rglob("manifest.json")
    assert not any(PASSWORD in path.read_text() for path in manifest)
    assert newest_checkpoint(tmp_path / "s")["offsets"] == {"events/0": 301}


@pytest.mark.parametrize(
    "command", ["run --topic events --state s", "produce data.npy --topic t", "dlq list"]
)
def test_wrong_password(
    login: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """One line with the broker's reason, and without the password."""
    monkeypatch.chdir(tmp_path)
    write_data(Path("data.npy"))
    monkeypatch.setenv("ECHO_STREAM_SASL_PASSWORD", "wrong-horse")
    quick = ["--kafka", "bootstrap_timeout_ms=20000"]
    more = ["--dead-letter-topic", "bad"] if command.startswith("dlq") else []
    line = refusal(*command.split(), *login, *quick, *more, exit_code=3)
    assert "uthenticat" in line
    assert "wrong-horse" not in line


def test_certificate_of_somebody_else(
    secure: SecureBroker, login: list[object], tmp_path: Path
) -> None:
    """The password is not sent to who cannot be trusted."""
    words = [*login, "--ssl-cafile", secure.other_certificate]
    run = ["run", *words, "--topic", "events", "--state", tmp_path / "s"]
    line = refusal(*run, "--kafka", "bootstrap_timeout_ms=20000", exit_code=3)
    assert "certificate verify failed" in line.lower()
