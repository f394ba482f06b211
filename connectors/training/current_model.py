"""Which of a state's models is the current one: the newest that was not worse than the last.

`models/current.json` names it, and is replaced as a whole.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echo_stream.connectors.process.clock import timestamp
from echo_stream.connectors.storage.durable import flush, make_folder
from echo_stream.connectors.storage.units import read_manifest, write_manifest
from echo_stream.connectors.training.model_files import METRICS_FILE, read_fitted
from echo_stream.errors import ConfigError, DataError, StateError
from echo_stream.training.fitted import Fitted
from echo_stream.training.labelled import LabelledSet

CURRENT_FILE = "current.json"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new model replaces the current one, and why.

    Attributes
    ----------
    is_current : bool
        False: it is a challenger, which is kept and not used.
    reason : str
    score, current_score : float or None
        Accuracy, or -RMSE, of both on the same held-out samples; None where not measured.
    held_out : int
        Labelled samples among these.
    current : str or None
        Id of the model that was current before.
    """

    is_current: bool
    reason: str
    score: float | None
    current_score: float | None
    held_out: int
    current: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def read_current(models: Path) -> str | None:
    """Return the id of the current model; None where there is none.

    Raises
    ------
    StateError
        If the file is damaged.
    """
    path = models / CURRENT_FILE
    if not path.exists():
        return None
    try:
        name = read_manifest(models, manifest_name=CURRENT_FILE).get("model")
    except StateError as err:
        msg = f"{err}; remove it, and the next model becomes current"
        raise StateError(msg) from err
    if not isinstance(name, str) or Path(name).name != name:
        msg = f"{path} is damaged: it names {name!r}; remove it"
        raise StateError(msg)
    return name


def current_unit(models: Path) -> Path | None:
    """Return the folder of the current model; None where there is none, or it was removed."""
    name = read_current(models)
    is_there = name is not None and (models / name / METRICS_FILE).is_file()
    return models / name if name is not None and is_there else None


def make_current(models: Path, name: str, verdict: Verdict) -> None:
    """Name the current model, atomically and durably.

    Raises
    ------
    StateError
        If the file cannot be written.
    """
    content = {"model": name, "time": timestamp(), **verdict.to_json()}
    path = models / CURRENT_FILE
    temporary = path.with_name(f".new-{CURRENT_FILE}")
    try:
        make_folder(models)
        write_manifest(temporary, content, [])
        flush(temporary)
        temporary.replace(path)
        flush(models)
    except OSError as err:
        msg = f"cannot write {path}: {err.strerror}; free space or change permissions"
        raise StateError(msg) from err


def judge(
    new: Fitted, held_out: LabelledSet, models: Path, *, has_diverged: bool = False
) -> Verdict:
    """Compare a new model with the current one on held-out samples.

    Without a labelled held-out sample, or where the current model cannot be evaluated, the new
    one becomes current. One whose training has diverged never does.
    """
    known = held_out.labelled()
    unit = current_unit(models)
    if has_diverged:
        name = None if unit is None else unit.name
        return Verdict(False, "its training diverged; lower --lr", None, None, len(known), name)
    score = new.score(known)
    if unit is None:
        return Verdict(True, "there was no current model", score, None, len(known), None)
    if not len(known):
        reason = "there is no held-out sample with a label to compare on; see --holdout"
        return Verdict(True, reason, None, None, 0, unit.name)
    task = read_manifest(unit, manifest_name=METRICS_FILE)["config"]["task"]
    if task != new.targets.task:
        reason = f"the current model is of another task, {task}"
        return Verdict(True, reason, score, None, len(known), unit.name)
    try:
        before = read_fitted(unit, factory=new.spec).score(known)
    except (StateError, ConfigError, DataError) as err:
        reason = f"the current model cannot be evaluated: {err}"
        return Verdict(True, reason, score, None, len(known), unit.name)
    return _compared(score, before, len(known), unit.name, task)


def _compared(
    score: float | None, before: float | None, n: int, current: str, task: str
) -> Verdict:
    """Return the verdict on two scores on n samples."""
    shown = _shown(score, task), _shown(before, task)
    words = f"{shown[0]} on {n} held-out samples, {shown[1]} for the current model"
    if score is None or (before is not None and score < before):
        return Verdict(False, f"worse: {words}", score, before, n, current)
    return Verdict(True, f"not worse: {words}", score, before, n, current)


def _shown(score: float | None, task: str) -> str:
    """Return a score as people read it."""
    if score is None:
        return "nothing finite"
    return f"accuracy {score:.3f}" if task == "classification" else f"RMSE {-score:.4g}"
