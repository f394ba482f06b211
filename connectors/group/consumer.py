"""One member of a consumer group that shares a state.

For each assignment it claims the partitions, counts them into a segment, and hands them over.
The next owner counts again what was not published in time.
"""

import logging
from contextlib import closing
from dataclasses import replace

from echo_stream.connectors.group.claiming import Claiming
from echo_stream.connectors.group.merge import take_group_snapshot
from echo_stream.connectors.group.report import SharedTrainer, Totals
from echo_stream.connectors.group.segment_store import SegmentStore
from echo_stream.connectors.group.state import GroupState
from echo_stream.connectors.kafka.group_source import (
    Assignment,
    GroupSource,
    LostError,
    RebalancedError,
)
from echo_stream.connectors.process.shutdown import Signals
from echo_stream.connectors.runner.consumption import Consumption, Group, Runs, check_new
from echo_stream.connectors.runner.status import StatusFile
from echo_stream.connectors.storage.snapshots import newest_manifest
from echo_stream.connectors.training.model_files import retrain_trigger
from echo_stream.engine.echo_coreset import EchoCoreset
from echo_stream.errors import FencedError
from echo_stream.run.config import RunConfig
from echo_stream.run.report import RunReport
from echo_stream.run.retraining import Retraining, RetrainTrigger
from echo_stream.run.runtime import Run
from echo_stream.samples.source import skipped_between

logger = logging.getLogger(__name__)


def consume_in_group(group: Group, given: Consumption) -> RunReport:
    """Count the partitions that a group assigns to this process; see `consume`."""
    given = replace(given, engine_config=replace(given.engine_config, auto_regenerate=False))
    config, monitor = given.engine_config, given.monitor
    with Signals(given.run_config.shutdown_budget) as signals:
        trained = given.trained_generation()
        check_new(trained, config)
        with (
            closing(GroupState(given.state, group.name)) as shared,
            StatusFile(shared.status_file, monitor) as status,
            given.runs() as runs,
        ):
            source = runs.source
            assert isinstance(source, GroupSource), "only topics are shared out"
            signals.report_to(status.write_last)
            monitor.member = (group.name, shared.member)
            record = given.retries.retry(
                lambda: shared.begin(config, source.describe(), source.starts, trained)
            )
            source.recognise(record.source)
            member = _GroupMember(shared, source, runs, given, until_end=group.until_end)
            monitor.resumed(monitor.report, {}, newest_manifest(given.state), 0.0)
            signals.control(member)
            return member.run()


class _GroupMember:
    """Waits for an assignment, counts it and hands it over, again and again.

    Parameters
    ----------
    state, source
    runs : Runs
        Over the source.
    given : Consumption
    until_end : bool
    """

    def __init__(
        self,
        state: GroupState,
        source: GroupSource,
        runs: Runs,
        given: Consumption,
        *,
        until_end: bool,
    ) -> None:
        self._state, self._source, self._runs, self._given = state, source, runs, given
        self._config, self._run_config = given.engine_config, given.run_config
        self._until_end = until_end
        self._trainer = given.trainer
        self._retrain_trigger = retrain_trigger(state.folder, given.run_config)
        self._claiming = Claiming(state, source, self._config.features, given.retries)
        self._totals = Totals(given.monitor)
        self._run: Run | None = None
        self._finished: Assignment | None = None  # counted to its end
        self._stop_asked = self._snapshot_asked = False

    def stop(self) -> None:
        """Ask the member to hand over and leave. Safe in a signal handler."""
        self._stop_asked = True
        if self._run is not None:
            self._run.stop()

    def ask_snapshot(self) -> None:
        """Ask for a snapshot of what the whole group has counted. Safe in a signal handler."""
        if self._run is None:
            self._snapshot_asked = True
        else:
            self._run.ask_snapshot()

    def run(self) -> RunReport:
        """Count until a stop is asked for, enough has been counted, or all has been.

        The partitions are handed over before anything else is done at the end.
        """
        is_whole = False
        try:
            while not self._is_over():
                self._step()
            self._source.close()
            self._take_last_snapshot()
            is_whole = True
        finally:
            if self._trainer is not None:
                self._trainer.finish(lambda: is_whole and not self._stop_asked)
        return self._totals.report(self._state, self._reason())

    def _is_over(self) -> bool:
        """Return whether there is nothing left to do."""
        return self._stop_asked or self._samples_left() == 0 or self._has_reached_the_end()

    def _has_reached_the_end(self) -> bool:
        """Return whether the group has counted all that was there at the start."""
        if not self._until_end:
            return False
        counted = self._state.ends()
        return all(counted.get(name, 0) >= end for name, end in self._source.ends().items())

    def _step(self) -> None:
        """Count an assignment if there is a new one; else wait a little."""
        assignment = self._source.assignment()
        if assignment is None or not assignment.partitions or assignment == self._finished:
            if self._snapshot_asked:
                self._snapshot_asked = False
                self._take_snapshot()
            self._source.wait()
            return
        claimed = self._claiming.claim(assignment)
        if claimed is None:
            self._source.wait()
            return
        self._count(assignment, *claimed)

    def _count(self, assignment: Assignment, segment: str, begins: dict[str, int]) -> None:
        """Count partitions until the assignment changes."""
        logger.info("counting %s into segment %s", ", ".join(begins), segment)
        store = SegmentStore(
            self._state,
            segment,
            begins,
            group_generation=assignment.generation,
            device=self._given.device,
            keep_snapshots=self._run_config.keep_snapshots,
            retries=self._given.retries,
        )
        is_whole = False
        try:
            run = self._begin(assignment, store)
            run.run()
            is_whole = True
            if self._source.is_exhausted:
                self._finished = assignment
        except RebalancedError as err:
            logger.info("%s", err)
            is_whole = True
        except (FencedError, LostError) as err:
            logger.warning("%s", err)
        finally:
            self._totals.add(self._run, store.num_published)
            if self._run is not None:
                self._snapshot_asked |= self._run.is_snapshot_asked
            self._run = None
            store.end(may_wait=is_whole)

    def _begin(self, assignment: Assignment, store: SegmentStore) -> Run:
        """Return a run over the partitions of an assignment."""
        generation = self._claiming.generation
        engine = EchoCoreset.from_config(
            self._config, generation=generation, device=self._given.device
        )
        self._source.read_only(store.begins, assignment)
        skipped = skipped_between(store.begins, self._source.offsets())
        # Snapshots to train on are taken by the first member alone.
        is_first = self._claiming.has_first(assignment)
        retraining = Retraining(
            None if self._trainer is None else SharedTrainer(self._trainer),
            self._given.examiner,
            self._retrain_trigger if is_first else RetrainTrigger(),
        )
        self._run = run = self._runs.new(
            engine,
            store,
            self._config_for(assignment),
            self._totals,
            retraining=retraining,
            skipped=skipped,
        )
        if self._stop_asked:
            run.stop()
        if self._snapshot_asked:
            self._snapshot_asked = False
            run.ask_snapshot()
        return run

    def _config_for(self, assignment: Assignment) -> RunConfig:
        """Return the settings of its run: a warm-up ends it, and one member takes snapshots."""
        config = replace(self._run_config, last_snapshot=False)
        left = self._samples_left()
        if self._claiming.generation is None:
            left = min(left, self._config.warmup_size)
        config = replace(config, max_samples=None if left == float("inf") else int(left))
        if not self._claiming.has_first(assignment):
            config = replace(config, snapshot_every=None, retrain_every=None)
        return config

    def _samples_left(self) -> float:
        """Return how many samples this process may still count."""
        if self._run_config.max_samples is None:
            return float("inf")
        return max(self._run_config.max_samples - self._totals.samples, 0)

    def _take_last_snapshot(self) -> None:
        """Take a snapshot at the end of the stream, or when no other member goes on."""
        is_last = not self._state.others_alive()
        if is_last or self._has_reached_the_end():
            self._take_snapshot()

    def _take_snapshot(self) -> None:
        """Take a snapshot between two runs, of what the group has made durable."""
        snapshot = self._given.retries.retry(
            lambda: take_group_snapshot(
                self._state,
                self._config,
                device=self._given.device,
                keep=self._run_config.keep_snapshots,
            )
        )
        if snapshot is not None:
            self._totals.add_snapshot(snapshot)

    def _reason(self) -> str:
        """Return why the member has ended."""
        if self._stop_asked:
            return "stopped"
        return "max samples" if self._samples_left() == 0 else "end of stream"
