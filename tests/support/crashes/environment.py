"""The environment in which a user's command runs."""

import os
import re

# What steers the tests, and means nothing to a command.
_OF_TESTS = re.compile(
    r"ECHO_STREAM_(TEST_BOOTSTRAP|REQUIRE_APACHE_KAFKA|CACHE|KILLS|SOAK_MINUTES|FUZZ_\w+)"
)


def user_environment() -> dict[str, str]:
    """Return the variables that there are, but for those of the tests; torch has one thread."""
    found = {name: value for name, value in os.environ.items() if not _OF_TESTS.fullmatch(name)}
    return {**found, "OMP_NUM_THREADS": "1"}
