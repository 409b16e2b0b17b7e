"""Tables whose rows lie on a device: the bits of the host's two engines. Emulated, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import symopt as so
from symopt import lang
from symopt.backends import choose
from symopt.backends.cuda.emulator import Emulator
from symopt.embedding import Admission, Bags, Expiry, FixedR8, Policy, Segment, Table, Tables
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
from symopt.lang import Integer, Tensor, Updated
from symopt.places import Place, from_host, place_of

pytestmark = pytest.mark.usefixtures("cxx")
HOSTS = ("native", "reference")
POOL = [0, 1, -1, 7, -(2**63), 2**63 - 1, *range(20, 30), *(k << 48 for k in range(1, 5))]


def custom(ids: np.ndarray, dim: int) -> np.ndarray:
    return np.add.outer(ids.astype(np.float64) % 17, np.arange(dim)) / 8


@so.update_op
def own_device_update(weight: Tensor, grad: Tensor, *, lr: float, t: Integer) -> Updated:
    """A sum over the tensor, one over each row, random numbers, and a number that each row has its own of."""
    scale = lang.sqrt(1 + lang.sum_of(lang.square(grad))) + lang.row_mean(lang.absolute(weight))
    return lang.updated(weight - lr / t * grad * lang.uniform(weight, 3.0, 1.0) / scale)


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
    "a rule of the user's": lambda: Segment(6, own_device_update, lr=0.1, n_blocks=2, initializer=RandomUniform(-1, 1)),
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

        def made(**which: Any) -> Table:
            return Table(segments(), **which, **{k: x() if callable(x) else x for k, x in more.items()})

        self.hosts = [made(engine=engine) for engine in HOSTS]
        self.device = made(ctx=place.context)
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


@pytest.mark.parametrize("seed", [5, 7])
def test_no_order_of_threads_shows(emulated: None, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Many rows, few multiprocessors: blocks of threads take several chunks, in orders as bad as the seed makes them."""
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


def test_ids_and_arrays_of_any_kind(gpu: Place) -> None:
    """Ids of the device are copied to the host; gradients may be of another dtype, strided, or shaped like the ids."""
    host, device = (Table(Segment(3, "adagrad", learning_rate=0.1), ctx=c) for c in (None, gpu.context))
    ids, grads = np.array([[4, 5], [4, -9]]), rows(4, 3, 0, np.float64).reshape(2, 2, 3)
    strided = from_host(gpu, np.repeat(grads, 2, axis=2))[:, :, ::2]
    host.apply_gradients(ids, grads)
    device.apply_gradients(from_host(gpu, ids), strided)
    out = gpu.empty((2, 2, 3), np.float32)
    shown = device.lookup(from_host(gpu, ids), out=out)
    np.testing.assert_array_equal(gpu.to_host(out), host.lookup(ids))
    assert shown.shape == (2, 2, 3)
    assert device.contains(from_host(gpu, ids)).all()
    empty = device.lookup(np.zeros((0, 2), np.int64))
    assert empty.shape == (0, 2, 3)
    assert device.apply_gradients([], gpu.empty((0, 3), np.float32)).updated == 0


def test_what_lies_elsewhere_is_refused(gpu: Place) -> None:
    table = Table(Segment(3, "adagrad", learning_rate=0.1), ctx=gpu.context, name="mine", max_rows=2)
    here, there = gpu.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32)
    with pytest.raises(DeviceError, match=r"mine.apply_gradients: gradients is in .* expected gpu\(0\)"):
        table.apply_gradients([1], there)
    with pytest.raises(DeviceError, match="mine.assign: values"):
        table.assign([1], there)
    with pytest.raises(DTypeError, match=r"must be an array, got list"):
        table.apply_gradients([1], [[1.0, 2.0, 3.0]])
    with pytest.raises(ShapeError, match="expected shape"):
        table.apply_gradients([1], here[:, :2])
    with pytest.raises(DeviceError, match="mine.lookup: out"):
        table.lookup([1], out=there)
    with pytest.raises(ShapeError, match="out must be float32"):
        table.lookup([1, 2], out=here)
    with pytest.raises(UnknownIdError, match="id 1 has no row"):
        table.lookup([1], missing="raise")
    with pytest.raises(TooLateError):
        table.apply_gradients([1, 2, 3], gpu.zeros((3, 3), np.float32))
    with pytest.raises(AttributeValueError, match="engine must be 'auto'"):
        Table(Segment(3, "adagrad", learning_rate=0.1), ctx=gpu.context, engine="native")
    with pytest.raises(DeviceError, match="on gpu\\(0\\): look tables up by name"):
        Tables({"mine": table}).fused_lookup([1], [1])
    with pytest.raises(DeviceError, match="gradients is in GPU memory.* expected the host's"):
        Table(Segment(3, "adagrad", learning_rate=0.1)).apply_gradients([1], here)
    assert len(table) == 0


def test_tables_of_both_places_together(gpu: Place) -> None:
    made = [
        Tables(
            {
                "a": Table(Segment(2, "adagrad", learning_rate=0.1), ctx=c),
                "b": Table(Segment(1, "sgd", learning_rate=1.0)),
            }
        )
        for c in (None, gpu.context)
    ]
    for tables, up in ((made[0], lambda x: x), (made[1], lambda x: from_host(gpu, x))):
        tables.apply_gradients({"a": ([1, 2, 1], up(rows(3, 2, 0))), "b": ([5], rows(1, 1, 0))})
    host, device = (tables.lookup({"a": [1, 2], "b": [5]}) for tables in made)
    np.testing.assert_array_equal(host["a"], gpu.to_host(device["a"]))
    np.testing.assert_array_equal(host["b"], device["b"])


@pytest.mark.parametrize("adds", [False, True])
def test_without_memory_nothing_is_changed(
    emulated: None, monkeypatch: pytest.MonkeyPatch, adds: bool
) -> None:
    """Whichever of the requests for memory fails, the table is what it was."""
    place: Any = place_of(so.gpu(0))

    def two() -> list[Segment]:
        return [MADE["decay of all rows"](), MADE["adam, its own step for each row"]()]

    for action in ("apply_gradients", "assign_add" if adds else "assign", "reinitialize", "lookup"):
        left = 0
        while True:
            table = Table(two(), ctx=place.context, max_rows=6, policy="least_recent")
            table.apply_gradients([1, 2, 3, 4], from_host(place, rows(4, 8, 0)), req_time=1)
            ids, values = [3, 4, 5, 6, 7], from_host(place, rows(5, 8, 1))
            before = [x.tolist() if isinstance(x, np.ndarray) else x for x in table.lookup_entry([*range(9)])]
            with monkeypatch.context() as patch:
                failing(patch, place, left)
                try:
                    if action == "lookup":
                        table.lookup(ids, missing="initialize")
                    else:
                        getattr(table, action)(ids, *([] if action == "reinitialize" else [values]))
                except DeviceMemoryError:
                    pass
                else:
                    break
            after = [x.tolist() if isinstance(x, np.ndarray) else x for x in table.lookup_entry([*range(9)])]
            assert str(after) == str(before), (action, left)
            left += 1
        assert left >= 2, action


def failing(patch: pytest.MonkeyPatch, place: Any, left: int) -> None:
    """After `left` arrays more a device has no memory."""
    counts = [left]

    def limited(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            counts[0] -= 1
            if counts[0] < 0:
                raise DeviceMemoryError("none left")
            return make(*args)

        return made

    patch.setattr(place, "zeros", limited(place.zeros), raising=False)
    patch.setattr(place, "empty", limited(place.empty), raising=False)
    patch.setattr(
        Emulator, "zeros", lambda self, *a, make=Emulator.zeros: limited(lambda *b: make(self, *b))(*a)
    )
