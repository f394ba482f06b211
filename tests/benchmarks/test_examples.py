"""The examples in the benchmarks' docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import benchmarks

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")
    if not module.ispkg
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    """Those of each module."""
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
