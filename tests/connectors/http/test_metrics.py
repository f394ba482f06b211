"""`/metrics`: names, units and types as Prometheus wants them, and the numbers of the run."""

import re
from pathlib import Path

import numpy as np
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from echo_stream import EngineConfig
from echo_stream.connectors.app.consumer import consume
from echo_stream.connectors.http.metrics import RunCollector
from echo_stream.connectors.runner.consumption import Consumption
from echo_stream.connectors.runner.monitor import PHASES, Reading, RunMonitor
from echo_stream.run.config import RunConfig
from echo_stream.run.observer import PartitionProgress
from echo_stream.run.report import RunReport
from echo_stream.samples.source import ArraySource, Batch, RejectedSample
from echo_stream.samples.validation import as_samples
from tests import ROOT
from tests.support.http.rig import ask, served

METRICS = ROOT / "docs/reference/status-and-metrics.md"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def families(text: str) -> dict[str, Metric]:
    """Return what a scrape holds, by name."""
    return {family.name: family for family in parse(text)}


def scrape(monitor: RunMonitor) -> dict[str, Metric]:
    """Scrape a monitor through its server."""
    with served(monitor) as url:
        return families(ask(f"{url}/metrics").body.decode())


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    """Return one sample."""
    samples = [each for family in found.values() for each in family.samples]
    (one,) = [each for each in samples if each.name == name and each.labels == labels]
    return float(one.value)


def reading() -> Reading:
    """Return a reading of two partitions, of which one is behind."""
    return Reading(
        {"a/b/0": 5, "events/1": 7},
        {
            "a/b/0": PartitionProgress(9, 1_000, 5, 50),
            "events/1": PartitionProgress(7, None, 0, 0),
        },
    )


def test_the_conventions_hold() -> None:
    """One prefix; a type and words for each; counters, and they alone, end in _total."""
    monitor = RunMonitor()
    monitor.reading = reading()
    with served(monitor) as url:
        answer = ask(f"{url}/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    text = answer.body.decode()
    for name, family in families(text).items():
        assert re.fullmatch(r"(echo_stream|process)_[a-z][a-z0-9_]*", name)
        assert f"# HELP {name}" in text
        assert f"# TYPE {name}" in text
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        assert not re.search(r"_(ms|millis|minutes|kb|mb|count|gauge|counter)$", name)
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total")
            assert sample.labels.keys() <= {"topic", "partition", "reason", "kind", "outcome",
                                            "phase", "le", "version", "kafka_python",
                                            "torch"}  # fmt: skip


def test_openmetrics_is_answered_to_who_asks() -> None:
    """Newer scrapers get their own format, which is parsed strictly."""
    with served(RunMonitor()) as url:
        answer = ask(f"{url}/metrics", {"Accept": OPENMETRICS})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    found = parse_openmetrics(answer.body.decode())  # type: ignore[no-untyped-call]
    assert "echo_stream_records_applied" in {family.name for family in found}


def test_zeros_are_there_from_the_start() -> None:
    """An alert on a rate needs the counter before the first event."""
    found = scrape(RunMonitor())
    for reason in ("decode", "schema", "nonfinite"):
        assert value(found, "echo_stream_records_rejected_total", reason=reason) == 0
        assert value(found, "echo_stream_dead_letters_total", reason=reason) == 0
    for kind in ("assigned", "revoked", "lost"):
        assert value(found, "echo_stream_rebalances_total", kind=kind) == 0
    for outcome in ("trained", "failed"):
        assert value(found, "echo_stream_retrainings_total", outcome=outcome) == 0
    assert {phase: value(found, "echo_stream_phase", phase=phase) for phase in PHASES} == (
        dict.fromkeys(PHASES, 0) | {"starting": 1}
    )
    assert value(found, "echo_stream_checkpoint_failures_total") == 0
    assert value(found, "echo_stream_checkpoint_duration_seconds_count") == 0


def test_what_is_not_known_yet_has_no_sample() -> None:
    """A time of zero would be an alert about 1970."""
    found = scrape(RunMonitor())
    for name in (
        "checkpoint_last_success_timestamp_seconds", "checkpoint_size_bytes",
        "checkpoint_stall_seconds", "certified_ratio", "coreset_size",
    ):  # fmt: skip
        assert found[f"echo_stream_{name}"].samples == []


def test_lag_is_of_each_partition() -> None:
    """Topic and number are labels, whatever is in the topic's name."""
    monitor = RunMonitor()
    monitor.reading = reading()
    found = scrape(monitor)
    assert value(found, "echo_stream_consumer_lag_records", topic="a/b", partition="0") == 4
    assert value(found, "echo_stream_consumer_lag_records", topic="events", partition="1") == 0
    assert value(found, "echo_stream_consumer_lag_seconds", topic="a/b", partition="0") > 1e9
    assert value(found, "echo_stream_consumer_lag_seconds", topic="events", partition="1") == 0
    assert value(found, "echo_stream_next_offset", topic="events", partition="1") == 7
    assert value(found, "echo_stream_records_consumed_total", topic="a/b", partition="0") == 5
    assert value(found, "echo_stream_bytes_consumed_total") == 50


def test_rejections_are_counted_by_reason() -> None:
    """Each message that is no sample raises the counter of its reason."""
    monitor = RunMonitor()
    bad = RejectedSample("nonfinite", "inf", None, b"", (), None)
    monitor.batch(RunReport(rejected=2), Batch(None, [bad, bad]))
    found = scrape(monitor)
    assert value(found, "echo_stream_records_rejected_total", reason="nonfinite") == 2
    assert value(found, "echo_stream_records_rejected_total", reason="decode") == 0


def test_a_run_fills_them(tmp_path: Path) -> None:
    """After a run over an array, counts, coreset, memory and checkpoint are its own."""
    monitor = RunMonitor()
    x = np.random.default_rng(1).random((300, 3)).astype(np.float32)
    config = EngineConfig(budget=20, warmup=100, epochs=0)
    consume(
        Consumption(
            lambda: ArraySource(as_samples(x)), tmp_path, config, RunConfig(), monitor=monitor
        )
    )
    found = scrape(monitor)
    assert value(found, "echo_stream_records_applied_total") == 300
    assert value(found, "echo_stream_samples") == 300
    assert value(found, "echo_stream_coreset_weight") == 300
    assert value(found, "echo_stream_update_samples_sum") == 300
    batches = value(found, "echo_stream_update_samples_count")
    assert value(found, "echo_stream_update_duration_seconds_count") == batches > 1
    spent_s = value(found, "echo_stream_update_duration_seconds_sum")
    assert 0 < spent_s < value(found, "echo_stream_batch_duration_seconds_sum")
    assert 0 < value(found, "echo_stream_coreset_size") <= 20
    assert 0 < value(found, "echo_stream_coverage_ratio") <= 1
    assert value(found, "echo_stream_samples_held") == 300
    state_bytes = value(found, "echo_stream_state_bytes")
    assert 0 < state_bytes <= value(found, "echo_stream_state_limit_bytes")
    assert value(found, "echo_stream_checkpoint_duration_seconds_count") == 1
    written_s = value(found, "echo_stream_checkpoint_last_success_timestamp_seconds")
    taken_s = value(found, "echo_stream_snapshot_last_timestamp_seconds")
    assert abs(written_s - taken_s) < 60
    assert value(found, "echo_stream_phase", phase="stopped") == 1


def test_every_metric_is_documented() -> None:
    """The table in the reference has each metric of ours, and no other."""
    text = METRICS.read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(echo_stream_\w+)", text, re.M))
    suffix = {"counter": "_total", "info": "_info"}
    monitor = RunMonitor()
    monitor.member = ("counters", "host-1-ab")
    found = {each.name + suffix.get(each.type, "") for each in RunCollector(monitor).collect()}
    assert listed == found


def test_a_member_of_a_group_says_which_one_it_is() -> None:
    """One gauge to join the others with; a run without a group has none."""
    monitor = RunMonitor()
    assert "echo_stream_member_info" not in scrape(monitor)
    monitor.member = ("counters", "host-1-ab")
    labels = {"group": "counters", "member": "host-1-ab"}
    assert value(scrape(monitor), "echo_stream_member_info", **labels) == 1
