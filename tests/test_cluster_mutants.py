"""Every rule that keeps bits is needed: with one left out, the comparison with a whole table fails. So the comparison
would find it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from cluster_lives import Life
from cluster_runs import Model, digest, sharded, step
from lossy import Lossy

from symopt.checkpoint.disk import Disk
from symopt.distributed import Cluster, ShardedTable
from symopt.distributed.content import Content, split_commands
from symopt.distributed.line import Line
from symopt.distributed.sequence import HELD, Sequence
from symopt.distributed.shard import Shard
from symopt.embedding import Segment, Table
from symopt.embedding.commands import Update
from symopt.errors import SymoptError

SEEDS = range(8)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Disk, "sync", lambda *_: None)


# ---- comparisons: each fails with AssertionError if bits differ


def lives(path: str, seed: int) -> None:
    """Losses, copies, delays and checkpoints; no driver dies."""
    rates = {"before": 0.04, "after": 0.04}
    life = Life(path, seed, Model(), steps=24, rates=rates, is_eventful=False, checkpoints=0.3)
    life.lived()


def goes_back(path: str, seed: int) -> None:
    """A training goes back to a checkpoint and on with other gradients, while processes of before live on."""
    model, other = Model(), Model(seed=1)
    other.table = model.grow(4).table
    other.told, other.digests = model.told[:], model.digests[:]
    transport = Lossy(seed, lives_on=1.0, late=0.9, strays=1.0, before=0, after=0, slow=0)
    with Cluster(2, transport=transport, path=path, window=8) as cluster:
        table = sharded(cluster)
        for k in range(4):
            step(table, k)
        cluster.checkpoint()
        for k in (8, 9, 10):
            step(table, k)
        cluster.restore()
        for k in range(8, 11):
            step(other.table, k, seed=1)
            step(table, k, seed=1)
        transport.is_calm = True
        assert digest(table) == digest(other.table), "other bits"


def ranks(path: str, seed: int) -> None:
    """Every step has gradients of three ranks, whose order in time is any."""
    rng, order = np.random.default_rng(seed), random.Random(seed)
    segment = Segment(2, "adagrad", learning_rate=0.1)
    whole = Table(segment, name="whole")
    transport = Lossy(seed, before=0.005, after=0.005)
    with Cluster(2, transport=transport, path=path) as cluster:
        table = ShardedTable(cluster, segment)
        for _ in range(12):
            parts = [
                (rng.permutation(20)[:12], rng.normal(size=(12, 2)).astype(np.float32)) for _ in range(3)
            ]
            ids, grads = (np.concatenate(each) for each in zip(*parts, strict=True))
            whole.apply_gradients(ids, grads, req_time=5)
            for rank in order.sample(range(3), 3):
                push(table, rank, 3, *parts[rank])
        transport.is_calm = True
        ids = np.arange(20)
        assert table.lookup(ids).tobytes() == whole.lookup(ids).tobytes(), "other bits"


def push(table: ShardedTable, rank: int, of: int, ids: Any, grads: Any) -> None:
    """One rank's part of a step, as a worker's would come."""
    cluster, stream = table.cluster, table._stream
    update = Update(ids.astype(np.int64), grads, stream.step, None, 5)
    split = cluster.partition.split(update.ids)
    contents = [Content((c,), (), None) for (c,) in split_commands([update], [split], cluster.n_shards)]
    cluster.make_way(grads.nbytes, of)
    cluster.push(stream, cluster.hold(contents, of), rank, of)


# ---- rules left out


def no_sequence(patch: Any) -> None:
    """Every push is carried out when it comes."""

    def offer(self: Any, epoch: int, step: int, rank: int, of: int, part: Any) -> str:
        self._held, self._of = {self.done + 1: {0: part}}, {self.done + 1: 1}
        return HELD

    patch.setattr(Sequence, "offer", offer)


def no_duplicates(patch: Any) -> None:
    """Steps are put into order, but one that was done is done again."""
    offer = Sequence.offer

    def again(self: Any, epoch: int, step: int, *rest: Any) -> str:
        return offer(self, epoch, max(step, self.done + 1), *rest)

    patch.setattr(Sequence, "offer", again)


def no_fence(patch: Any) -> None:
    offer = Sequence.offer
    patch.setattr(Sequence, "offer", lambda self, epoch, *rest: offer(self, self.epoch, *rest))


def any_order(patch: Any) -> None:
    """Parts of a step are added in the order in which they came."""

    def due(self: Any) -> Any:
        parts = self._held.get(self.done + 1, {})
        return [*parts.values()] if parts and len(parts) == self._of[self.done + 1] else None

    patch.setattr(Sequence, "due", due)


def no_drain(patch: Any) -> None:
    """A checkpoint is of whatever is there, while pushes are on their way."""

    def save(self: Any, epoch: int, name: str, at: int, path: str, n_shards: int) -> int:
        table = self._find(name).table
        table.save(path, part=(self.number, n_shards), keep_expired=True, overwrite=True)
        return len(table)

    patch.setattr(Shard, "save", save)
    patch.setattr(Cluster, "settle", lambda self: None)


def wrong_base(patch: Any) -> None:
    """A new process loads the checkpoint before the one that its pushes follow."""
    take_over = Cluster._take_over

    def stale(self: Any, saved: Any, is_automatic: bool) -> None:
        before = {name: stream.saved for name, stream in self.streams.items()}
        take_over(self, saved, is_automatic)
        for name, stream in self.streams.items():
            stream.saved = before[name]

    patch.setattr(Cluster, "_take_over", stale)


def no_replay(patch: Any) -> None:
    """A new process is told which steps are done, as if it had done them."""

    def replay(self: Any) -> None:
        self._flying.clear()
        self.flying_bytes = 0

    open_ = Line._open

    def opened(self: Any, stream: Any) -> None:
        base, stream.base = stream.base, stream.step
        try:
            open_(self, stream)
        finally:
            stream.base = base

    patch.setattr(Line, "_replay", replay)
    patch.setattr(Line, "_open", opened)


@dataclass(frozen=True)
class Mutant:
    leave_out: Callable[[Any], None]
    found_by: Callable[[str, int], None]


MUTANTS = [
    Mutant(no_sequence, lives),
    Mutant(no_duplicates, lives),
    Mutant(no_fence, goes_back),
    Mutant(any_order, ranks),
    Mutant(no_drain, lives),
    Mutant(wrong_base, lives),
    Mutant(no_replay, lives),
]


@pytest.mark.parametrize("comparison", [lives, goes_back, ranks], ids=lambda c: c.__name__)
def test_the_comparison_holds_with_all_rules(comparison: Any, tmp_path: Any) -> None:
    for seed in SEEDS[:4]:
        comparison(str(tmp_path / str(seed)), seed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.leave_out.__name__)
def test_a_rule_that_is_left_out_is_found(
    mutant: Mutant, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant.leave_out(monkeypatch)
    for seed in SEEDS:
        try:
            mutant.found_by(str(tmp_path / str(seed)), seed)
        except AssertionError:
            return
        except SymoptError as error:
            print(f"seed {seed}: noticed otherwise: {error}")
    pytest.fail("nobody notices")
