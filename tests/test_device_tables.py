"""Tables whose rows lie on a device: the bits of the host's two engines. Emulated, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import symopt as so
from symopt import lang
from symopt.embedding import Admission, Bags, Expiry, FixedR8, OneBit, Policy, Segment, Table, Tables
from symopt.embedding.initializers import Custom, RandomUniform
from symopt.errors import (
    AttributeValueError,
    DeviceError,
    DeviceMemoryError,
    DTypeError,
    ShapeError,
    TooLateError,
    UnknownIdError,
)
from symopt.places import Place, from_host

pytestmark = pytest.mark.usefixtures("cxx")
HOSTS = ("native", "reference")
POOL = [0, 1, -1, 7, -(2**63), 2**63 - 1, *range(20, 30), *(k << 48 for k in range(1, 5))]


def custom(ids: np.ndarray, dim: int) -> np.ndarray:
    return np.add.outer(ids.astype(np.float64) % 17, np.arange(dim)) / 8


def own_rule(weight: Any, grad: Any, level: Any, *, lr: float = 0.1) -> Any:
    """Sums over the tensor, a state of one number, random numbers, and no two elements alike."""
    level = 0.9 * level + 0.1 * lang.mean_of(lang.square(grad)) if hasattr(lang, "mean_of") else level
    return weight - lr * grad * lang.uniform(weight, 3.0), level


MADE: dict[str, Callable[[], Any]] = {
    "adagrad": lambda: Segment(5, "adagrad", learning_rate=0.1, initializer=RandomUniform(-1, 1)),
    "adam, its own step for each row": lambda: Segment(4, "adam", learning_rate=0.1, weight_decay=0.01),
    "adam, the table's steps": lambda: Segment(3, "torch_adam", learning_rate=lambda t: 0.5 / (t + 1), clock="table"),
    "sums over a row": lambda: Segment(9, "group_adagrad", learning_rate=0.3, initializer=0.5),
    "sums over parts of a row": lambda: Segment(
        12, "monolith_rowwise_adagrad", learning_rate=0.3, n_blocks=3
    ),
    "sums over the tensor": lambda: Segment(70, "lamb", learning_rate=0.1, wd=0.1, initializer=1.0),
    "ftrl in float64": lambda: Segment(6, "ftrl", learning_rate=0.3, dtype="float64"),
    "random numbers": lambda: Segment(5, "signsgd", learning_rate=0.1, initializer=RandomUniform(-1, 1)),
    "a row of several blocks": lambda: Segment(8200, "group_adagrad", learning_rate=0.1),
    "first weights of the host": lambda: Segment(3, "sgd_mom", learning_rate=0.5, momentum=0.9, initializer=Custom(custom)),
    "decay of all rows": lambda: Segment(
        4, "sgd", learning_rate=0.3, weight_decay=0.1, decay="decoupled_global", initializer=1.0
    ),
    "codes": lambda: [
        Segment(5, "adagrad", learning_rate=0.1, compressor=FixedR8(), initializer=RandomUniform(-1, 1)),
        Segment(8, "sgd", learning_rate=0.1, compressor=FixedR8(0.5)),
    ],
    "three rules": lambda: [
        Segment(1, "sgd", learning_rate=0.1),
        Segment(8, "adam", learning_rate=0.01, initializer=RandomUniform(-1, 1), clock="row"),
        Segment(7, "ftrl", learning_rate=0.2, weight_decay=0.1, decay="decoupled"),
    ],
}  # fmt: skip


class Trio:
    """One table on a device and the same on the host, twice: whatever is done to all of them is compared."""

    def __init__(self, place: Place, segments: Callable[[], Any], **more: Any) -> None:
        self.place = place
        made = {name: value() if callable(value) else value for name, value in more.items()}
        self.hosts = [Table(segments(), engine=engine, **made) for engine in HOSTS]
        fresh = {name: value() if callable(value) else value for name, value in more.items()}
        self.device = Table(segments(), ctx=place.context, **fresh)
        self.now = 0

    def up(self, x: Any) -> Any:
        return from_host(self.place, x) if isinstance(x, np.ndarray) else x

    def down(self, x: Any) -> Any:
        return self.place.to_host(x) if isinstance(x, self.place.xp.ndarray) else x

    def do(self, method: str, *args: Any, values: Any = None, **more: Any) -> Any:
        """Call a method of all tables; `values` are those of the place. What the first gives, if all give the same."""
        tables = [(self.hosts[0], values), (self.hosts[1], values), (self.device, self.up(values))]
        found = [getattr(table, method)(*args, *([] if x is None else [x]), **more) for table, x in tables]
        first, *others = [
            flat(self.down(x) if not isinstance(x, tuple) else tuple(map(self.down, x))) for x in found
        ]
        for other in others:
            assert len(first) == len(other)
            for x, y in zip(first, other, strict=True):
                np.testing.assert_array_equal(x, y, strict=True)
        return found[0]

    def check(self) -> None:
        """Everything that lookups show, and all that the tables know."""
        self.do("ids")
        self.do("lookup", np.array(POOL))
        entries = [table.lookup_entry(table.ids()) for table in (*self.hosts, self.device)]
        for other in entries[1:]:
            for x, y in zip(entries[0], other, strict=True):
                if isinstance(x, dict):
                    assert x.keys() == y.keys()
                    for name in x:
                        np.testing.assert_array_equal(x[name], self.down(y[name]), strict=True)
                else:
                    np.testing.assert_array_equal(x, self.down(y), strict=True)
        for host in self.hosts:
            assert (host.steps, host.stats, len(host)) == (
                self.device.steps,
                self.device.stats,
                len(self.device),
            )


def flat(x: Any) -> list[Any]:
    return [y for part in x for y in flat(part)] if isinstance(x, tuple) else [np.asarray(x)]


def rows(n: int, dim: int, seed: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(dtype)


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
