"""`echo-stream serve`: a state's snapshots over HTTP."""

import re
import signal
from pathlib import Path

import pytest

from tests.cli.commands import command_process, finish, refusal
from tests.connectors.http.rig import ask
from tests.connectors.http.state_rig import make_state


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    """It says where, answers, tells of the run that there was, and ends in order."""
    state = make_state(tmp_path, snapshots=1)
    with command_process("serve", "--state", state, "--http", "127.0.0.1:0") as process:
        assert process.stderr is not None
        url = process.stderr.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert ask(f"{url}/api/v1/coreset").json()["rows"]
        assert ask(f"{url}/status").json()["life"] == "ended"
        assert ask(f"{url}/healthz").code == 200
        process.send_signal(number)
        assert finish(process).exit_code == 0


def test_it_needs_a_state(tmp_path: Path) -> None:
    """One that is there."""
    assert "--state DIR" in refusal("serve", exit_code=2)
    assert "there is no state" in refusal("serve", "--state", tmp_path / "none", exit_code=4)
