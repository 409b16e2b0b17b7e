"""Whatever a network, its machines and the driver do, a table in parts ends with the bits and counts of a whole one."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import pytest
from cluster_lives import Life
from cluster_runs import Model
from fault_counts import Faults

from symopt.checkpoint.disk import Disk

LIVES = 80  # of which `make test` has a tenth


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is lost here."""
    monkeypatch.setattr(Disk, "sync", lambda *_: None)


@functools.cache
def model(kind: str) -> Model:
    return Model(kind)


@pytest.mark.parametrize(
    ("kind", "interrupts", "share"), [("small", 0.0, 1.0), ("small", 0.02, 0.5), ("full", 0.005, 0.15)]
)
def test_lives_end_with_the_same_bits(
    kind: str, interrupts: float, share: float, tmp_path: Path, faults: Faults
) -> None:
    seen: Counter[str] = Counter()
    for n in range(faults.count(int(LIVES * share))):
        seed = faults.random.randrange(1 << 30)
        print(f"seed {seed}")
        life = Life(str(tmp_path / str(n)), seed, model(kind), rates={"interrupt": interrupts})
        seen.update(life.lived().seen)
    print(sum(seen.values()), dict(seen))
    for what in ("before", "after", "twice", "late", "slow", "strays"):
        assert seen[what], f"no fault of the kind {what!r} came up: this tests nothing"
