"""Checks before a run: what would fail here, each with what to do about it."""

from echo_stream.connectors.inspect.doctor.broker import check_broker
from echo_stream.connectors.inspect.doctor.finding import Finding, Verdict
from echo_stream.connectors.inspect.doctor.machine import (
    check_device,
    check_packages,
    check_secret_files,
)
from echo_stream.connectors.inspect.doctor.state import check_state_folder

__all__ = [
    "Finding",
    "Verdict",
    "check_broker",
    "check_device",
    "check_packages",
    "check_secret_files",
    "check_state_folder",
]
