"""Tables whose rows lie on a device: the bits of the host's two engines. Emulated, and on a GPU where there is one."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from device_tables import MADE, POOL, Trio, rows
from hypothesis import given, settings

import symopt as so
from symopt.backends import choose
from symopt.backends.cuda.emulator import Emulator
from symopt.embedding import Admission, Bags, Expiry, Policy, Segment, Table
from symopt.places import Place, place_of

pytestmark = pytest.mark.usefixtures("cxx")

ids_ = st.lists(st.sampled_from(POOL), min_size=1, max_size=9)
seeds = st.integers(0, 99)
ACTIONS = st.one_of(
    st.tuples(st.just("apply"), ids_, seeds, st.sampled_from(["sum", "sequential"])),
    st.tuples(st.just("apply"), ids_, seeds, st.sampled_from(["sum", "sequential"])),
    st.tuples(st.sampled_from(["assign", "assign_add"]), ids_, seeds),
    st.tuples(st.sampled_from(["reinitialize", "touch", "evict", "born"]), ids_),
    st.tuples(st.just("bags"), ids_, seeds, st.sampled_from(["sum", "mean", "sqrtn", "first_n"])),
    st.tuples(st.just("flush")),
)


def act(trio: Trio, action: tuple[Any, ...]) -> None:
    kind, *given_ = action
    ids = np.array(given_[0]) if given_ else np.zeros(0, np.int64)
    dim, dtype = trio.device.dim, trio.device.dtype
    trio.now += 1
    if kind == "flush":
        trio.do("flush")
    elif kind == "apply":
        values = rows(len(ids), dim, given_[1], dtype)
        trio.do("apply_gradients", ids, values=values, req_time=trio.now, duplicates=given_[2])
    elif kind in ("assign", "assign_add"):
        trio.do(kind, ids, values=rows(len(ids), dim, given_[1], dtype), req_time=trio.now)
    elif kind == "born":
        trio.do("lookup", ids, missing="initialize", with_hits=True, req_time=trio.now)
    elif kind == "evict":
        trio.do("evict", ids[:2])
    elif kind == "bags":
        cut = len(ids) // 2
        weights = None if given_[2] == "first_n" else np.abs(rows(len(ids), 1, given_[1])[:, 0])
        bags = Bags(
            ids, [0, cut, cut, len(ids)], given_[2], weights=weights, n=2 if given_[2] == "first_n" else None
        )
        trio.do("lookup", bags)
        trio.do(
            "apply_gradients",
            bags,
            values=rows(int(np.prod(bags.shape)), dim, given_[1], dtype).reshape(*bags.shape, dim),
            req_time=trio.now,
        )
    else:
        trio.do(kind, ids, req_time=trio.now)


@pytest.mark.parametrize("name", MADE)
def test_same_bits_as_on_the_host(gpu: Place, name: str) -> None:
    @settings(max_examples=6, deadline=None, database=None, derandomize=True)
    @given(actions=st.lists(ACTIONS, min_size=4, max_size=10))
    def run(actions: list[tuple[Any, ...]]) -> None:
        trio = Trio(gpu, MADE[name], seed=5)
        for action in actions:
            act(trio, action)
        trio.check()

    run()


@pytest.mark.parametrize("seed", [5, 7])
def test_no_order_of_threads_shows(emulated: None, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Many rows, few multiprocessors: blocks of threads take several chunks, in the worst orders that a seed makes."""
    monkeypatch.setattr(choose, "emulator", lambda: Emulator(seed, multiprocessors=1))
    for name, n in (("three rules", 150), ("sums over the tensor", 30), ("a rule of the user's", 150)):
        trio = Trio(place_of(so.gpu(0)), MADE[name])
        ids = np.arange(n) * 31 % 97
        for step in range(2):
            values = rows(n, trio.device.dim, step)
            trio.do("apply_gradients", ids, values=values, req_time=step)
        trio.check()


def test_rows_of_several_blocks(gpu: Place) -> None:
    """8192 elements and more are summed by a whole block of threads."""
    trio = Trio(gpu, lambda: Segment(8200, "group_adagrad", learning_rate=0.1))
    trio.do("apply_gradients", np.array([4, 9, 4]), values=rows(3, 8200, 0), req_time=1)
    trio.check()


def test_admission_expiry_and_eviction(gpu: Place) -> None:
    """Ids that come, wait, are let in, grow old, and leave when the table is full."""
    for policy in ("least_recent", "least_frequent", "small_norm"):
        trio = Trio(
            gpu, MADE["adagrad"], admission=lambda: Admission(1), expiry=lambda: Expiry(1),
            max_rows=12, policy=lambda by=policy: Policy(by, slack=0.2),
        )  # fmt: skip
        rng = np.random.default_rng(0)
        for step in range(12):
            ids = rng.integers(0, 25, 7)
            trio.do("apply_gradients", ids, values=rows(7, 5, step), req_time=step * 20_000)
        trio.do("expire")
        trio.do("evict", n=2)
        trio.check()
        found = [
            t.evict(where=lambda r: r["weight"].sum(1) > r["updates"] - 3) for t in (*trio.hosts, trio.device)
        ]
        assert len({tuple(x) for x in found}) == 1
        trio.check()


def test_rows_lie_on_the_device_and_grow_there(gpu: Place) -> None:
    trio = Trio(gpu, MADE["three rules"])
    capacities, store = set(), trio.device._rows.store
    for step in range(12):
        ids = np.arange(step * 40, step * 40 + 40)
        trio.do("apply_gradients", ids, values=rows(40, 16, step), req_time=step)
        capacities.add(len(store.columns["0/weight"]))
    trio.check()
    assert 3 <= len(capacities) < 12
    on_device = {name: isinstance(x, gpu.xp.ndarray) for name, x in store.columns.items()}
    assert on_device == {name: "/" in name for name in on_device}
    shown = trio.device.lookup([1])
    assert isinstance(shown, gpu.xp.ndarray)
    assert trio.device.memory_bytes() >= sum(x.nbytes for x in store.columns.values())
    reserved = Table(Segment(2, "sgd", learning_rate=0.1), ctx=gpu.context, reserve=100)
    assert len(reserved._rows.store.columns["0/weight"]) == 100
