"""Samples that a stream keeps apart: who they are, and that they count nowhere else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_stream import EchoCoreset
from echo_stream.connectors.storage.snapshot_files import read_snapshot, roles_of, write_snapshot
from echo_stream.errors import ConfigError
from echo_stream.samples.source import ArraySource
from echo_stream.samples.validation import as_samples
from tests.support.strategies import identity_generation

N = 400
X = np.random.default_rng(3).random((N, 2)).astype(np.float32)
Y = (X[:, 0] > 0.5).astype(int)


def engine(*, warmup: int | None = None, **settings: Any) -> EchoCoreset:
    """Return an engine that holds a fifth out, with a warm-up or without one."""
    generation = None if warmup is not None else identity_generation(2, 3)
    return EchoCoreset(
        20, preset="paper", cells="grid-budget", latent="identity", support=0,
        generation=generation, warmup=warmup or 1, holdout=0.2, device="cpu", **settings,
    )  # fmt: skip


def streamed(cut: int, **settings: Any) -> EchoCoreset:
    """Return an engine that has counted all samples in pieces."""
    made = engine(**settings)
    for start in range(0, N, cut):
        rows = slice(start, start + cut)
        made.partial_fit(X[rows], Y[rows], ids=np.arange(N)[rows])
    return made


def held_ids(made: EchoCoreset) -> list[int]:
    """Return the ids that are held out."""
    held = made.snapshot().held_out
    assert held is not None
    return [int(name) for name in held.ids]


@pytest.mark.parametrize("warmup", [None, 50])
def test_held_out_samples_count_nowhere(warmup: int | None) -> None:
    """They are a fifth of the ids, not in N, and never in a coreset however large."""
    made = streamed(30, warmup=warmup)
    held = held_ids(made)
    assert 0.15 * N < len(held) < 0.25 * N
    assert made.n_seen_ + len(held) == made.num_arrived == N
    assert made.num_held_out == len(held)
    everything = EchoCoreset(N, generation=made.generation_, holdout=0.2, preset="fixed",
                             cells="grid", latent="identity", device="cpu")  # fmt: skip
    everything.partial_fit(X)
    assert not set(map(int, everything.snapshot().rows.samples.ids)) & set(held)


def test_held_out_samples_are_the_same_in_any_cut_and_order() -> None:
    """And those of two merged parts are those of the whole."""
    whole = held_ids(streamed(30))
    assert held_ids(streamed(7)) == whole
    left, right = engine(), engine()
    left.partial_fit(X[250:], Y[250:], ids=np.arange(250, N))
    right.partial_fit(X[:250], Y[:250], ids=np.arange(250))
    left.merge(right)
    assert held_ids(left) == whole
    assert left.num_arrived == N


def test_held_out_samples_outlive_a_restart() -> None:
    """Bit for bit, in the warm-up too; the state goes on like one undisturbed."""
    for warmup in (None, 1_000):
        before = engine(warmup=warmup).partial_fit(X[:200], Y[:200])
        after = EchoCoreset.from_state(before.to_state(), device="cpu")
        assert after.num_arrived == 200
        assert after.to_state()[1] == before.to_state()[1]
        after.partial_fit(X[200:], Y[200:])
        after.end_warmup()
        assert held_ids(after) == held_ids(streamed(100))


def test_held_out_samples_are_forgotten_and_labelled() -> None:
    """What can be done to samples can be done to these, and misses are counted."""
    made = streamed(30)
    first, second, *_ = held_ids(made)
    assert made.holds(first)
    assert made.forget(first) == 1
    assert not made.holds(first)
    assert (made.forget(first), first in held_ids(made)) == (0, False)
    assert made.label([second, first], ["late", "late"]) == 1
    held = made.snapshot().held_out
    assert held is not None
    assert held.labels is not None
    assert held.labels[held.ids.tolist().index(str(second))] == "late"
    counts = made.change_counts()
    assert (counts["num_labelled"], counts["num_label_missed"]) == (1, 1)


def test_held_out_samples_of_one_id_are_replaced() -> None:
    """Where the newest of an id is meant, it is the one that is held out."""
    name = held_ids(streamed(30))[0]
    made = engine(on_duplicate="replace")
    made.partial_fit(X[:2], Y[:2], ids=[name, name])
    made.partial_fit(X[2:], Y[2:], ids=np.arange(N, 2 * N - 2))
    held = made.snapshot().held_out
    assert held is not None
    assert np.array_equal(held.x[held.ids.tolist().index(str(name))], X[1])
    assert held.ids.tolist().count(str(name)) == 1


def test_held_out_samples_are_in_the_snapshot(tmp_path: Path) -> None:
    """With their labels, beside the coreset; who forgets an id hears of it."""
    snapshot = streamed(30).snapshot()
    write_snapshot(snapshot, tmp_path / "s", time="2026-01-01T00:00:00Z", offsets={})
    before, after = snapshot.held_out, read_snapshot(tmp_path / "s").held_out
    assert before is not None
    assert after is not None
    assert np.array_equal(before.x, after.x)
    assert before.labels is not None
    assert after.labels is not None
    assert (before.ids.tolist(), before.labels.tolist()) == (
        after.ids.tolist(),
        after.labels.tolist(),
    )
    assert roles_of(tmp_path / "s", before.ids[0]) == {"held out"}


def test_nothing_is_held_out_by_default(tmp_path: Path) -> None:
    """And no file says so."""
    made = EchoCoreset(20, generation=identity_generation(2, 3), preset="paper", device="cpu")
    snapshot = made.partial_fit(X).snapshot()
    write_snapshot(snapshot, tmp_path / "s", time="2026-01-01T00:00:00Z", offsets={})
    assert read_snapshot(tmp_path / "s").held_out is None
    assert not (tmp_path / "s" / "held_out.parquet").exists()


def test_sources_that_are_read_as_a_whole_are_refused() -> None:
    """A build, a repair or a regeneration from the source would count what is held out."""
    made = streamed(30)
    source = ArraySource(as_samples(X))
    for refused in (lambda: engine().fit(X), lambda: made.repair(source),
                    lambda: made.regenerate(source)):  # fmt: skip
        with pytest.raises(ConfigError, match=r"holdout only works with streams; got 0\.2"):
            refused()


@pytest.mark.parametrize("share", [-0.1, 0.6, "much"])
def test_share_is_checked(share: object) -> None:
    """At most a half."""
    with pytest.raises(ConfigError, match="holdout must be"):
        EchoCoreset(holdout=share, preset="fixed").partial_fit(X)  # type: ignore[arg-type]  # as users do
