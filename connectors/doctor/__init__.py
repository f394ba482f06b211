"""What would hinder a run here, found before it begins, each with what to do about it."""

from echo_stream.connectors.doctor.broker import check_broker
from echo_stream.connectors.doctor.device import check_device
from echo_stream.connectors.doctor.finding import Finding, Verdict
from echo_stream.connectors.doctor.packages import check_packages
from echo_stream.connectors.doctor.secrets import check_secret_files
from echo_stream.connectors.doctor.state import check_state_folder

__all__ = [
    "Finding",
    "Verdict",
    "check_broker",
    "check_device",
    "check_packages",
    "check_secret_files",
    "check_state_folder",
]
