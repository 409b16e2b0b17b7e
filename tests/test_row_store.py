"""Rows that are kept elsewhere: a store of somebody's own is told before rows are read, and before they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_runs import batch, digest, model, table

import symopt as so
from symopt.embedding import Bags, Segment, Table
from symopt.embedding.store import MemoryStore


class Elsewhere(MemoryStore):
    """Rows are in a dict. Memory holds those that were fetched last, and rubbish in place of all others."""

    def __init__(self, layout: Any) -> None:
        super().__init__(layout)
        self.kept: dict[int, bytes] = {}
        self.fetched = self.changed = np.zeros(0, np.int64)

    def fetch(self, slots: Any) -> None:
        assert (slots >= 0).all()
        for slot in self.changed.tolist():
            self.kept[slot] = self.records[slot].tobytes()
        self.records[:] = 0xAB
        for slot in slots.tolist():
            self.records[slot] = np.frombuffer(self.kept.get(slot, bytes(self.layout.stride)), np.uint8)
        self.fetched, self.changed = slots, slots[:0]

    def changing(self, slots: Any) -> None:
        assert np.isin(slots, self.fetched).all()
        self.changed = np.union1d(self.changed, slots)


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_rows_may_be_elsewhere(engine: str) -> None:
    t = table(store=Elsewhere, engine=engine)
    for k in range(21):
        batch(t, k)
        assert digest(t) == model()[k + 1], k


def test_bags_flushes_and_expiry_of_rows_elsewhere() -> None:
    def make(**options: Any) -> Table:
        return Table(
            Segment(3, "sgd", learning_rate=0.1, weight_decay=0.1, decay="decoupled_global", initializer=1.0),
            expiry=1,
            **options,
        )

    bags = Bags([4, 9, 4, 7], [0, 3, 3, 4], "mean")
    seen = []
    for t in (make(store=Elsewhere), make()):
        t.apply_gradients(bags, np.ones((3, 3)), req_time=5)
        t.apply_gradients([100], np.ones((1, 3)), req_time=90_000)
        t.touch([9], 90_000)
        gone = t.expire()
        t.flush()
        t.assign([9], np.ones((1, 3)), 90_001)
        t.evict(n=1, policy="small_norm")
        seen.append((gone.tolist(), t.lookup(bags).tobytes(), t.ids().tolist(), t.lookup(t.ids()).tobytes()))
    assert seen[0] == seen[1] and seen[0][0] == [4, 7]


def test_one_place_for_rows(tmp_path: Path) -> None:
    with pytest.raises(so.errors.AttributeValueError, match="give one of them"):
        table(store=Elsewhere, path=tmp_path / "t")
    assert not (tmp_path / "t").exists()
