"""Whatever a client sends, whether the description allows it or not: no server error."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

from tests.support.http.rig import make_state, served_state

EXAMPLES = 8  # of each route, and of each kind
LONGEST = 60_000  # characters of a request; with 65,536 uvicorn may hang up before all is sent
LISTENING = "/api/v1/events"  # an answer that goes on as long as it is asked to
BRIEF = settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
def test_no_request_is_a_server_error(tmp_path: Path) -> None:
    """Answers of 500 and more are failures; all others are words for the client."""
    with served_state(make_state(tmp_path)) as url:
        api: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
        operations = [found.ok() for found in api.get_all_operations()]
        assert len(operations) > 10
        for operation in operations:
            has_parameters = operation.definition.raw.get("parameters")
            for mode in GenerationMode if has_parameters else [GenerationMode.POSITIVE]:
                cases = operation.as_strategy(generation_mode=mode)
                try_out(cases.map(ending) if operation.path == LISTENING else cases)


def ending(case: Any) -> Any:
    """Return a request of an answer that ends at once, unless its time is wrong on purpose."""
    query = dict(case.query or {})
    try:
        float(query.get("timeout", 0))
    except (TypeError, ValueError):
        return case
    case.query = {**query, "timeout": 0}
    return case


def try_out(cases: Any) -> None:
    """Ask as a strategy says."""

    @BRIEF
    @given(case=cases)
    def ask(case: Any) -> None:
        assume(len(case.as_curl_command()) < LONGEST)
        case.call_and_validate(checks=[not_a_server_error])

    ask()
