"""Training on what few labels say of the samples that are held beside them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from echo_stream import EchoCoreset, Snapshot
from echo_stream._common.typing import Label
from echo_stream.coreset.building import with_labels
from echo_stream.errors import ConfigError
from echo_stream.samples.samples import as_objects
from echo_stream.training.config import TrainConfig
from echo_stream.training.labelled import LabelledSet, with_pseudo_labels
from echo_stream.training.training import TrainResult, train

HELD_OUT = 500


def config(**changes: Any) -> TrainConfig:
    """Return settings of a quick training."""
    settings: dict[str, Any] = {"model": "logistic", "device": "cpu", "threads": 1, "epochs": 30}
    return TrainConfig(**settings | changes)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """Return a snapshot of digits without labels: 20 rows, and hundreds beside them."""
    x, _ = load_digits(return_X_y=True)
    return EchoCoreset(20, keep=500, device="cpu").partial_fit(x[HELD_OUT:]).snapshot()


def digits_of(ids: Any) -> list[Label]:
    """Return the true labels of samples."""
    _, y = load_digits(return_X_y=True)
    return [int(y[HELD_OUT + int(one)]) for one in ids]


def labelled(snapshot: Snapshot, *, rows: int = 20, context: int = 0) -> Snapshot:
    """Return a snapshot with true labels for some rows, and some samples of the context."""
    samples, _ = snapshot.held()
    ids = [*samples.ids[:rows], *samples.ids[len(snapshot.rows) :][:context]]
    return with_labels(snapshot, list(zip(ids, digits_of(ids), strict=True)))[0]


def parts(snapshot: Snapshot, **changes: Any) -> tuple[LabelledSet, LabelledSet | None, str | None]:
    """Return the core of a snapshot, the pseudo-labelled samples, and the reason."""
    core = LabelledSet.of_snapshot(snapshot, "core")
    return with_pseudo_labels(core, snapshot, config(**changes))


def trained(snapshot: Snapshot, **changes: Any) -> TrainResult:
    """Train on a snapshot as `train` does, and test on other digits."""
    x, y = load_digits(return_X_y=True)
    test = LabelledSet(x[:HELD_OUT], y[:HELD_OUT], np.arange(HELD_OUT))
    core, pseudo, _ = parts(snapshot, **changes)
    return train(core, None, test, config(**changes), pseudo=pseudo)


def test_few_labels_teach_more_with_samples_that_have_none(snapshot: Snapshot) -> None:
    """By several points; what was bought is counted apart from what was guessed."""
    some = labelled(snapshot)
    alone, more = (trained(some, spread=spread) for spread in (False, None))
    assert more.metrics["accuracy"] > alone.metrics["accuracy"] + 0.03
    assert more.metrics["labels_used"] == alone.metrics["labels_used"] == 20
    assert alone.metrics["pseudo_labelled"] == 0
    assert not more.metrics["structure_used"]
    assert 300 < more.metrics["pseudo_labelled"] <= len(some.held()[0]) - 20
    assert more.metrics["num_unlabelled"] == 0


def test_the_same_labels_give_the_same_model(snapshot: Snapshot) -> None:
    """Bit for bit."""
    some = labelled(snapshot)
    losses = [trained(some).metrics["loss"] for _ in range(2)]
    assert losses[0] == losses[1]


def test_confidence_is_the_weight_of_a_guess() -> None:
    """Guesses that nobody trusts teach nothing; those that are trusted do."""
    x = np.array([[-1.0], [1.0]] * 8)
    core = LabelledSet(x, as_objects(["left", "right"] * 8), np.arange(16))
    wrong = np.array([[-1.0]] * 64)
    right = []
    for confidence in (0.0, 1.0):
        pseudo = LabelledSet(
            wrong, as_objects(["right"] * 64), np.arange(16, 80), np.full(64, confidence)
        )
        result = train(core, None, core, config(), pseudo=pseudo)
        right.append(result.metrics["accuracy"])
    assert right == [1.0, 0.5]


@pytest.mark.parametrize(
    ("rows", "context", "words"),
    [
        (20, 0, "labels are spread: 20 labels, "),
        (20, 100, "labels are not spread, since there are many: 120 labels, 12.0 a class; "),
    ],
)
def test_whether_it_is_likely_to_help(
    snapshot: Snapshot, rows: int, context: int, words: str
) -> None:
    """Few labels a class and many samples are needed; the reason has both numbers."""
    _, pseudo, reason = parts(labelled(snapshot, rows=rows, context=context))
    assert reason is not None
    assert reason.startswith(words)
    assert (pseudo is not None) == ("not" not in words)


def test_few_held_samples_say_little(snapshot: Snapshot) -> None:
    """As the rows of a coreset alone; who asks for it gets it nonetheless."""
    alone = labelled(replace(snapshot, context=None), rows=15)
    _, pseudo, reason = parts(alone)
    assert pseudo is None
    assert reason is not None
    assert reason.startswith("labels are not spread, since few samples are held: 15 labels, ")
    for wanted, words in ((True, "spread, as asked for"), (False, "not spread, as asked for")):
        _, pseudo, reason = parts(alone, spread=wanted)
        assert (pseudo is not None) == wanted
        assert reason is not None
        assert reason.startswith(f"labels are {words}: 15 labels")


def test_networks_learn_without(snapshot: Snapshot) -> None:
    """They may do better than the neighbours of samples, so they have to be asked for."""
    _, pseudo, reason = parts(labelled(snapshot), model="lenet")
    assert pseudo is None
    assert reason is not None
    assert reason.startswith("labels are not spread, since lenet may learn more alone: 20 labels")


def test_all_labels_or_none(snapshot: Snapshot) -> None:
    """There is nothing to spread, or nowhere to spread it, and nothing to say."""
    assert snapshot.context is not None
    everything = labelled(snapshot, context=len(snapshot.context))
    for each in (snapshot, everything):
        core, pseudo, reason = parts(each, spread=True)
        assert (len(core), pseudo, reason) == (20, None, None)


def test_labels_of_the_context_are_labels(snapshot: Snapshot) -> None:
    """They are bought, as those of rows: they are used as they are, and counted."""
    some = labelled(snapshot, rows=10, context=10)
    core, pseudo, _ = parts(some)
    assert pseudo is not None
    known = core.labelled()
    assert len(known) == 20
    assert known.y.tolist() == digits_of(known.ids)
    assert not {*known.ids} & {*pseudo.ids}
    assert len(known) + len(pseudo) <= len(some.held()[0])
    assert trained(some).metrics["labels_used"] == 20


def test_a_regression_has_no_classes(snapshot: Snapshot) -> None:
    """Numbers are not spread; who asks for it is told."""
    some = labelled(snapshot)
    assert parts(some, task="regression")[1:] == (None, None)
    with pytest.raises(ConfigError, match="spread is for classes; a regression has none"):
        parts(some, task="regression", spread=True)
