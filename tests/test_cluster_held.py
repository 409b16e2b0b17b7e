"""What is kept for lost shards is let go when a checkpoint has it: at once, not when garbage is collected."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharded_tables import SEGMENTS, Mortal, kill, sent

from symopt.distributed import Cluster, ShardedTable
from symopt.distributed.inprocess import Answered
from symopt.errors import UnknownIdError


class Held(Answered):
    """A value in a store."""

    __slots__ = ("__weakref__",)


class Store(Mortal):
    """Knows which values are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.refs: list[weakref.ref[Held]] = []

    def put(self, value: Any) -> Held:
        held = Held(sent(value))
        self.refs.append(weakref.ref(held))
        return held

    def call(self, host: Any, method: str, *args: Any, **how: Any) -> Any:
        plain = [Answered(arg.value) if type(arg) is Held else arg for arg in args]
        return super().call(host, method, *plain, **how)

    @property
    def n_held(self) -> int:
        return sum(ref() is not None for ref in self.refs)


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_what_is_held_is_let_go(tmp_path: Path) -> None:
    store = Store()
    cluster = Cluster(2, transport=store, path=tmp_path)
    table = ShardedTable(cluster, SEGMENTS["codes"]())

    def steps(n: int) -> None:
        for _ in range(n):
            table.push(np.arange(8000), np.ones((8000, 8)))

    steps(3)
    cluster.settle()
    assert store.n_held == 6
    cluster.checkpoint()
    assert store.n_held == 0
    steps(2)
    kill(cluster, 1)
    with pytest.raises(UnknownIdError):
        table.lookup([-7], missing="raise")
    steps(2)
    kill(cluster, 0)
    cluster.checkpoint()
    assert cluster.recoveries == 2 and store.n_held == 0
    ways: list[Callable[[], None]] = [partial(cluster.reshard, 3), cluster.restore, cluster.close]
    for again in ways:
        steps(1)
        assert store.n_held >= 2
        again()
        assert store.n_held == 0
