"""State of a training under way, so that one that is interrupted goes on where it was.

It lies beside the models, in a folder named after all that the training depends on: the
same command finds it again, and another one does not. Each state is a unit of its own;
a lock tells whether it is in use.
"""

import fcntl
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from echo_stream._common.typing import State
from echo_stream._common.version import __version__
from echo_stream.connectors.storage.durable import make_folder, opener
from echo_stream.connectors.storage.engine_files import read_tensors, tensors_writer
from echo_stream.connectors.storage.state_locks import is_locked
from echo_stream.connectors.storage.units import (
    TEMPORARY_PREFIX,
    list_units,
    verify_unit,
    write_unit,
)
from echo_stream.errors import StateError
from echo_stream.run.schedule import Every, Schedule
from echo_stream.samples.samples import label_of
from echo_stream.training.config import TrainConfig
from echo_stream.training.labelled import LabelledSet

logger = logging.getLogger(__name__)

_PREFIX = f"{TEMPORARY_PREFIX}training-"
_STATE_FILE = "state.safetensors"
_LOCK_FILE = "lock"
_DIGEST_BYTES = 8
_SEQUENCE_DIGITS = 12
_HALF_WRITTEN_AFTER_S = 600.0  # no model takes so long to write
_ABANDONED_AFTER_S = 7 * 86_400.0  # then a training is not expected to be resumed


class CheckpointedTraining:
    """Keep the state of one training in a folder; an `echo_stream.training.loop.Checkpoint`.

    Parameters
    ----------
    folder : Path
        Of this training, there already and locked, see `checkpointed`.
    every : Every or None
        Steps or seconds between two states; None: none is kept.
    on_resume : callable, optional
        Called with the steps taken when a state is found.
    """

    def __init__(
        self, folder: Path, every: Every | None, on_resume: Callable[[int], None] | None = None
    ) -> None:
        self._folder = folder
        self._every = every
        self._on_resume = on_resume
        self._schedule = Schedule(every, n=0, now=time.monotonic())

    def load(self) -> State | None:
        """Return the newest state that is whole; None where there is none."""
        for unit in reversed(list_units(self._folder)):
            try:
                manifest = verify_unit(unit)
                state = read_tensors(unit / _STATE_FILE), manifest["state"]
            except StateError as err:
                logger.warning("state of a training skipped: %s", err)
                continue
            steps = manifest["state"]["steps"]
            self._schedule = Schedule(self._every, n=steps, now=time.monotonic())
            if self._on_resume is not None:
                self._on_resume(steps)
            return state
        return None

    def offer(self, steps: int, to_state: Callable[[], State]) -> None:
        """Write the state if it is due, and remove the one before it."""
        now = time.monotonic()
        if not self._schedule.is_due(steps, now):
            return
        arrays, meta = to_state()
        before = list_units(self._folder)
        destination = self._folder / f"{steps:0{_SEQUENCE_DIGITS}d}"
        write_unit(destination, {_STATE_FILE: tensors_writer(arrays)}, {"state": meta})
        for unit in before:
            shutil.rmtree(unit)
        self._schedule.done(steps, time.monotonic())


@contextmanager
def checkpointed(
    models: Path,
    sets: tuple[LabelledSet, ...],
    config: TrainConfig,
    *,
    every: Every | None,
    on_resume: Callable[[int], None] | None = None,
) -> Iterator[CheckpointedTraining]:
    """Hold the folder of a training's states; it goes when the block ends well.

    Parameters
    ----------
    models : Path
        Folder that the model will be written to.
    sets : tuple of LabelledSet
        All that the training sees.
    config : TrainConfig
    every, on_resume
        See `CheckpointedTraining`.

    Raises
    ------
    StateError
        If the same training is running in another process, or the disk refuses.
    """
    _remove_abandoned(models)
    folder = models / f"{_PREFIX}{_digest(sets, config)}"
    with _lock(folder):
        is_done = False
        try:
            yield CheckpointedTraining(folder, every, on_resume)
            is_done = True
        finally:
            if is_done or not list_units(folder):
                shutil.rmtree(folder)


def _digest(sets: tuple[LabelledSet, ...], config: TrainConfig) -> str:
    """Return a digest of everything that a training depends on."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    versions = [__version__, torch.__version__]
    digest.update(json.dumps([asdict(config), versions]).encode())
    for part in sets:
        rows = [[str(i), repr(label_of(y))] for i, y in zip(part.ids, part.y, strict=True)]
        digest.update(json.dumps([rows, part.x.dtype.str, part.x.shape]).encode())
        for column in (part.x, part.weights, part.means):
            if column is not None:
                digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a training's folder, which goes with the process."""
    try:
        make_folder(folder)
        handle = open(folder / _LOCK_FILE, "w", encoding="utf-8", opener=opener)  # noqa: SIM115
    except OSError as err:
        msg = f"cannot write {folder}: {err.strerror}; give another folder"
        raise StateError(msg) from err
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            msg = f"the same training is running in another process; wait for it ({folder})"
            raise StateError(msg) from err
        yield


def _remove_abandoned(models: Path) -> None:
    """Remove trainings that were interrupted a week ago or more, and not taken up again."""
    for folder in models.glob(f"{_PREFIX}*") if models.is_dir() else ():
        # One that goes meanwhile has been removed by its owner, or by another training.
        with suppress(FileNotFoundError):
            age = time.time() - max(path.stat().st_mtime for path in folder.iterdir())
            if age > _ABANDONED_AFTER_S and not is_locked(folder / _LOCK_FILE):
                shutil.rmtree(folder)


def remove_half_written(models: Path) -> None:
    """Remove what writers of models that died have left; trainings that can go on stay.

    Others may be writing a model at this moment, which takes seconds.
    """
    for path in models.glob(f"{TEMPORARY_PREFIX}*"):
        if path.name.startswith(_PREFIX):
            continue
        with suppress(FileNotFoundError):  # its writer was quicker
            if time.time() - path.stat().st_mtime > _HALF_WRITTEN_AFTER_S:
                shutil.rmtree(path, ignore_errors=True)
