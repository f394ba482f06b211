"""What the patches of kafka-python need of it, so that another version fails here and clearly."""

import ast
import inspect
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.net.manager import KafkaConnectionManager
from kafka.net.transport import KafkaTCPTransport
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch

from echo_stream.connectors.kafka import _client_patches

PRIVATE = {
    KafkaConsumer: {"_cluster", "_coordinator", "_fetcher"},
    ConsumerCoordinator: {
        "_do_join_and_sync_async",
        "_generation",
        "_on_join_complete_async",
        "need_rejoin",
        "rejoining",
    },
    Fetcher.PartitionRecords: {
        "_consume_aborted_transactions_up_to",
        "_contains_abort_marker",
        "_is_batch_aborted",
        "_maybe_raise_next_inline_exception",
        "_maybe_skip_record",
        "_next_inline_exception",
        "_unpack_records",
        "aborted_producer_ids",
        "bytes_read",
        "check_crcs",
        "drain",
        "fetch_offset",
        "isolation_level",
        "leader_epoch",
        "next_fetch_offset",
        "record_iterator",
        "records_read",
    },
    KafkaConnectionManager: {"_build_transport"},
    KafkaTCPTransport: {"_sock"},
    DefaultRecordBatch: {"_buffer", "_pos"},
    LegacyRecordBatch: {"_buffer"},
}
"""Private names, and those that are not documented, of the classes that have them."""


@pytest.mark.parametrize("owner", PRIVATE, ids=lambda owner: owner.__qualname__)
def test_names_are_those_of_the_installed_client(owner: type) -> None:
    """Each is a member of its class, or an attribute that one of its methods sets."""
    sources = [inspect.getsource(each) for each in owner.__mro__ if each is not object]
    missing = {
        name
        for name in PRIVATE[owner]
        if not hasattr(owner, name) and not any(f"self.{name} =" in source for source in sources)
    }
    assert not missing, f"kafka-python {version('kafka-python')} has no {missing}"


def test_every_private_name_in_use_is_listed() -> None:
    """A patch that needs one more has to say so above."""
    accessed, own = set(), set()
    for path in Path(_client_patches.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                own |= {
                    each.attr
                    for each in ast.walk(node)
                    if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "self"
                }
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                accessed.add(node.attr)
    private = {name for name in accessed - own if not name.startswith("__")} - {"_fields"}
    assert private <= set().union(*PRIVATE.values())


def test_the_exact_version_is_pinned() -> None:
    """Any other may have changed what is private."""
    (pinned,) = [each for each in requires("echo-stream") or () if each.startswith("kafka-python")]
    assert pinned.endswith(f"=={version('kafka-python')}")
