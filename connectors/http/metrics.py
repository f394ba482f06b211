"""`/metrics`: metrics of a run in the format of Prometheus.

Names have base units, counters end in `_total`, and label sets are there from the start.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, TypeAlias

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from echo_stream._common.version import __version__
from echo_stream.connectors.process.clock import now_s, unix_s
from echo_stream.connectors.runner.monitor import PHASES, RunMonitor

_PREFIX = "echo_stream_"
Value: TypeAlias = int | float | None
_Values: TypeAlias = Mapping[Any, Value]  # label values, in a tuple, to value


def metrics_router(monitor: RunMonitor) -> APIRouter:
    """Return `/metrics` of a run, from a registry of its own."""
    registry = CollectorRegistry()
    registry.register(RunCollector(monitor))
    ProcessCollector(registry=registry)
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return router


class RunCollector(Collector):
    """Read a monitor whenever metrics are asked for. O(partitions)."""

    def __init__(self, monitor: RunMonitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the run."""
        yield from self._counters()
        yield from self._of_partitions()
        yield from self._of_checkpoints()
        yield from self._of_the_coreset()
        yield from self._of_the_queue()
        yield from self._of_http()
        if self._monitor.member is not None:
            yield _gauges(
                "member_info", "Which process of which group this is.", ["group", "member"],
                {self._monitor.member: 1},
            )  # fmt: skip
        phases = {(name,): int(name == self._monitor.current_phase) for name in PHASES}
        yield _gauges("phase", "1 for what the run does now.", ["phase"], phases)
        yield InfoMetricFamily(
            f"{_PREFIX}build",
            "Versions.",
            {
                "version": __version__,
                "kafka_python": version("kafka-python"),
                "torch": version("torch"),
            },
        )

    def _counters(self) -> Iterator[Metric]:
        """Yield what has been counted by this run."""
        monitor, report = self._monitor, self._monitor.report
        partitions = monitor.reading.partitions
        yield _counters(
            "records_consumed", "Messages read.", ["topic", "partition"],
            {_labels(name): each.records for name, each in partitions.items()},
        )  # fmt: skip
        size_bytes = sum(each.size_bytes for each in partitions.values())
        yield _counter("bytes_consumed", "Bytes of keys and values read.", size_bytes)
        yield _counter("records_applied", "Samples counted.", report.samples)
        reasons = {(reason,): count for reason, count in monitor.rejected.items()}
        yield _counters("records_rejected", "Invalid messages.", ["reason"], reasons)
        dead_letters = {(reason,): count for reason, count in monitor.stats.dead_letters.items()}
        yield _counters("dead_letters", "Durable dead letters.", ["reason"], dead_letters)
        stats = monitor.stats
        yield _counter(
            "dead_letters_truncated", "Of which only a part is kept.", stats.dead_letters_truncated
        )
        yield _counter(
            "dead_letters_removed",
            "Removed, the oldest, to keep to a limit.",
            stats.dead_letters_removed,
        )
        yield _gauge("samples", "Samples counted since the stream began, N.", report.n)
        skipped = {("gap",): report.gaps, ("replayed",): report.replayed}
        yield _counters(
            "offsets_skipped", "Offsets without a message, and messages that came again, since "
            "the stream began.", ["kind"], skipped,
        )  # fmt: skip
        changes = {(name.removeprefix("num_"),): n for name, n in report.change_counts.items()}
        yield _counters(
            "changes", "Late labels, and samples forgotten and replaced, since the stream began.",
            ["kind"], changes,
        )  # fmt: skip
        outcomes = {(name,): count for name, count in monitor.trainings.items()}
        yield _counters("retrainings", "Models trained beside the stream.", ["outcome"], outcomes)
        recent = (monitor.prequential() or {}).get("accuracy_recent")
        yield _gauge(
            "prequential_accuracy_ratio", "Share of the last labelled samples that the current "
            "model had right before they were counted.", recent,
        )  # fmt: skip
        yield _gauge("retrain_running", "1 while a model is being trained.", monitor.is_training)
        for histogram in (monitor.batch_seconds, monitor.update_seconds, monitor.update_samples):
            yield from _renamed(histogram.collect())

    def _of_partitions(self) -> Iterator[Metric]:
        """Yield what there is of each partition."""
        monitor, names = self._monitor, ["topic", "partition"]
        reading = monitor.reading

        def labelled(
            values: Mapping[str, int] | Mapping[str, float],
        ) -> dict[tuple[str, ...], Value]:
            return {
                _labels(name): value for name, value in values.items() if name in reading.partitions
            }

        yield _gauges(
            "consumer_lag_records", "Messages not counted yet.", names,
            labelled(reading.lag_records()),
        )  # fmt: skip
        yield _gauges(
            "consumer_lag_seconds", "Age of the newest message counted, while there are others.",
            names, labelled(reading.lag_seconds(now_s())),
        )  # fmt: skip
        yield _gauges("next_offset", "Offset to count next.", names, labelled(reading.offsets))
        yield _gauges(
            "checkpoint_offset", "Offset to count next, in the newest checkpoint.", names,
            labelled(monitor.checkpoint_offsets),
        )  # fmt: skip
        yield _gauge("assigned_partitions", "Partitions read by this run.", len(reading.partitions))
        yield _counters(
            "rebalances", "Partitions that the consumer group assigned, revoked or took as lost, "
            "by event.", ["kind"],
            {(kind,): count for kind, count in monitor.stats.rebalances.items()},
        )  # fmt: skip

    def _of_checkpoints(self) -> Iterator[Metric]:
        """Yield how checkpoints do."""
        monitor, stats = self._monitor, self._monitor.stats
        yield from _renamed(monitor.checkpoint_seconds.collect())
        yield _gauge(
            "checkpoint_last_success_timestamp_seconds", "When the newest checkpoint of this run "
            "became durable, seconds since 1970.", monitor.checkpoint_time_s,
        )  # fmt: skip
        yield _gauge(
            "checkpoint_size_bytes",
            "Size of the newest checkpoint.",
            stats.checkpoint_bytes or None,
        )
        yield _counter("checkpoint_failures", "Checkpoints not written.", stats.checkpoint_failures)
        yield _gauge(
            "checkpoint_stall_seconds", "Time the last checkpoint blocked the run.",
            stats.checkpoint_stall_seconds or None,
        )  # fmt: skip
        yield _gauge(
            "restore_duration_seconds", "Seconds to load the state.", monitor.restore_seconds
        )

    def _of_the_coreset(self) -> Iterator[Metric]:
        """Yield what the newest snapshot says."""
        manifest = self._monitor.snapshot_manifest
        taken = manifest.get("time")
        for name, field, what in (
            ("coreset_size", "num_distinct", "Distinct samples of the newest snapshot."),
            ("coreset_weight", "n", "Samples that the newest snapshot stands for."),
            ("samples_held", "num_held", "Samples that the coreset was chosen from."),
            ("certified_ratio", "certified_fraction", "Share of its rows that is certified."),
            ("coverage_ratio", "coverage_at_least", "Lower bound on mean similarity."),
            ("state_bytes", "state_bytes", "Memory of the state, as of the newest snapshot."),
            ("state_limit_bytes", "state_bytes_bound", "The most that the state can reach."),
        ):
            yield _gauge(name, what, manifest.get(field))
        yield _gauge(
            "snapshot_last_timestamp_seconds", "When the newest snapshot was taken, seconds since "
            "1970.", None if taken is None else unix_s(taken),
        )  # fmt: skip
        yield _counter("snapshots", "Written by this run.", len(self._monitor.report.snapshots))

    def _of_the_queue(self) -> Iterator[Metric]:
        """Yield how the poller and its queue do."""
        stats = self._monitor.stats
        yield _counter("polls", "Calls of the client's poll.", stats.polls)
        polled_s = stats.last_poll
        age_s = time.monotonic() - polled_s if polled_s else None
        yield _gauge("poll_age_seconds", "Seconds since the client's last poll.", age_s)
        interval_s = stats.poll_interval or None
        yield _gauge("poll_interval_seconds", "Between the client's last two polls.", interval_s)
        for name, what, value in (
            ("queue_records", "Messages read that wait to be counted.", stats.queue_records),
            ("queue_bytes", "Their size.", stats.queue_bytes),
            ("queue_peak_records", "The most that have waited.", stats.queue_peak_records),
            ("queue_peak_bytes", "The largest size that has waited.", stats.queue_peak_bytes),
            ("paused_partitions", "Not fetched, as the queue is full.", stats.paused_partitions),
        ):
            yield _gauge(name, what, value)

    def _of_http(self) -> Iterator[Metric]:
        """Yield how this server does."""
        stats = self._monitor.http
        yield _gauge("http_connections", "Connections to this server.", stats.connections)
        yield _gauge("http_connections_limit", "The most that there may be.", stats.limit)
        reasons = {(reason,): count for reason, count in stats.dropped.items()}
        yield _counters(
            "http_connections_dropped", "Connections that the server has closed, by reason.",
            ["reason"], reasons,
        )  # fmt: skip
        yield _counter(
            "http_failures", "How often accepting failed, or the server was restarted.",
            stats.failures,
        )  # fmt: skip


def _labels(partition: str) -> tuple[str, str]:
    """Return topic and number of a partition's name."""
    topic, _, number = partition.rpartition("/")
    return topic, number


def _gauge(name: str, what: str, value: Value) -> Metric:
    """Return a gauge; without a sample where there is no value yet."""
    return _gauges(name, what, [], {(): value})


def _gauges(name: str, what: str, labels: list[str], values: _Values) -> Metric:
    """Return a gauge with labels."""
    family = GaugeMetricFamily(_PREFIX + name, what, labels=labels)
    return _filled(family, values)


def _counter(name: str, what: str, value: Value) -> Metric:
    """Return a counter; `_total` is added to its name."""
    return _counters(name, what, [], {(): value})


def _counters(name: str, what: str, labels: list[str], values: _Values) -> Metric:
    """Return a counter with labels."""
    return _filled(CounterMetricFamily(_PREFIX + name, what, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: _Values) -> Metric:
    """Add the samples that have a value."""
    for labels, value in values.items():
        if value is not None:
            family.add_metric(labels, float(value))
    return family


def _renamed(metrics: Iterable[Metric]) -> Iterator[Metric]:
    """Yield metrics of the client's own objects, without their times of creation."""
    for metric in metrics:
        metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
        yield metric
