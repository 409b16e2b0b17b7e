"""What is given to a step at once is taken as if each array were looked at alone: all of it, or nothing."""

from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placed import up

import symopt as so
from symopt import sym
from symopt.backends.base import Pointers
from symopt.errors import SymoptError
from symopt.executor import Executor
from symopt.places import Place
from symopt.replacing import KEPT
from symopt.sparse import RowSparseArray
from symopt.together import Together

ENGINES = (("native", None), ("native", "skip"), ("reference", None))
DTYPES: dict[str, Any] = {"f": "float32", "h": "float16", "b": ml_dtypes.bfloat16, "d": "float64"}
# The gradients, by name: each letter a dtype. Of every dtype several shapes, one of them without an element.
SHAPES = {
    "f0": (6,),
    "f1": (6,),
    "f2": (3, 4),
    "f3": (0, 4),
    "h0": (5,),
    "h1": (2, 3),
    "b0": (7,),
    "d0": (4, 1),
}
TABLES = {"r0": (9, 2), "r1": (5, 2)}
NUMBERS = ("lr", "t")


def bound(engine: str, guard: Any) -> Executor:
    """Adam of every gradient, with a rate made of numbers; and lazy AdaGrad of each table."""
    lr, t = (sym.var(name, shape=()) for name in NUMBERS)
    rate = lr * sym.sqrt(1 - 0.999**t)
    heads, arrays = [], dict[str, Any](lr=0.5, t=3.0)
    for name, shape in SHAPES.items():
        g, w, m, v = (sym.var(prefix + name) for prefix in ("g", "w", "m", "v"))
        heads.append(sym.adam_update(w, g, m, v, lr=rate, out=w, name=f"adam_{name}"))
        arrays |= {prefix + name: np.full(shape, 0.25, DTYPES[name[0]]) for prefix in ("g", "w", "m", "v")}
    heads.append(g + 1)  # an output of its own, which no gradient may lie in
    arrays["wd0"] = np.full(20, 0.25)[:4].reshape(4, 1)  # with memory of its owner's behind it
    for name, shape in TABLES.items():
        g, w, h = sym.var("g" + name, stype="row_sparse"), sym.var("w" + name), sym.var("h" + name)
        heads.append(sym.adagrad_update(w, g, h, lr=lr, out=w, name=f"adagrad_{name}"))
        arrays |= {"w" + name: np.ones(shape, np.float32), "h" + name: np.ones(shape, np.float32)}
        arrays["g" + name] = rows(shape, [0, 2])
    return sym.Group(heads).bind(so.cpu(), args=arrays, aux_states=arrays, engine=engine, nan_guard=guard)


def rows(shape: tuple[int, ...], indices: list[int]) -> RowSparseArray:
    return RowSparseArray(
        np.full((len(indices), shape[1]), 0.5, np.float32), np.array(indices, np.int64), shape
    )


def one_by_one(executor: Executor) -> Executor:
    """Let an executor look at each thing given alone."""
    replacing = executor._step._replacing
    sort = replacing.sort

    def alone(names: tuple[str, ...], _: frozenset[str] = frozenset()) -> Together:
        return sort(names, frozenset(names))

    setattr(replacing, "sort", alone)  # noqa: B010  a method of this one only
    return executor


# ---- what is given: made for one executor, since it may lie in that one's arrays


class Interface:
    """Another library's array, which NumPy can view."""

    def __init__(self, array: Any) -> None:
        self.__array_interface__ = array.__array_interface__
        self.kept = array


class Exchanged:
    """Another library's array that has DLPack only."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


def sealed(array: Any) -> Any:
    array.flags.writeable = False
    return array


def apart(array: Any) -> Any:
    """The same values, every second element of a larger array."""
    wide = np.repeat(array, 2, axis=-1)
    return wide[..., ::2]


def askew(array: Any) -> Any:
    """The same values, not at a multiple of their size."""
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    raw[...] = array
    return raw


def over_the_end(executor: Executor, array: Any, apart: bool) -> Any:
    """Like an array, and contiguous; begins in the last element of an array that the step writes, or right after it."""
    after = executor.arg_dict["wd0"].base[3 + apart :].view(np.uint8)
    return after[: array.nbytes].view(array.dtype).reshape(array.shape)


Make = Callable[[Executor, Any], Any]
DENSE: dict[str, Make] = {
    "plain": lambda e, x: x,
    "read-only": lambda e, x: sealed(x),
    "strided": lambda e, x: apart(x),
    "backwards": lambda e, x: x[::-1],
    "column-major": lambda e, x: np.asfortranarray(x),
    "not aligned": lambda e, x: askew(x),
    "interface": lambda e, x: Interface(x) if x.dtype != DTYPES["b"] else x,
    "dlpack": lambda e, x: Exchanged(x) if x.dtype != DTYPES["b"] else x,
    "subclass": lambda e, x: x.view(np.recarray),
    "wider": lambda e, x: x.astype(np.float64 if x.dtype != np.float64 else np.float32),
    "integers": lambda e, x: x.astype(np.int64),
    "swapped": lambda e, x: x.astype(x.dtype.newbyteorder()) if x.dtype != DTYPES["b"] else x,
    "longer": lambda e, x: np.concatenate([x, x, np.ones((1, *x.shape[1:]), x.dtype)]),
    "flat": lambda e, x: x.reshape(-1, 1, 1),
    "masked": lambda e, x: np.ma.masked_array(x),
    "number": lambda e, x: 0.5,
    "list": lambda e, x: x.tolist(),
    "nothing": lambda e, x: None,
    "a weight": lambda e, x: e.arg_dict["wf0"],
    "in a weight": lambda e, x: over_the_end(e, x, apart=False),
    "after a weight": lambda e, x: over_the_end(e, x, apart=True),
    "in a state": lambda e, x: np.lib.stride_tricks.as_strided(e.aux_dict["mf2"], x.shape, (0,) * x.ndim),
    "the output": lambda e, x: e.outputs[len(SHAPES)],
    "a gradient": lambda e, x: e.arg_dict["gf1"],
    "sparse": lambda e, x: rows((9, 2), [1]),
}
SPARSE: dict[str, Make] = {
    "plain": lambda e, x: x,
    "none": lambda e, x: rows(x.shape, []),
    "repeated": lambda e, x: rows(x.shape, [3, 1, 3]),
    "descending": lambda e, x: rows(x.shape, [4, 2, 0]),
    "outside": lambda e, x: rows(x.shape, [0, x.shape[0]]),
    "negative": lambda e, x: rows(x.shape, [-1]),
    "uneven": lambda e, x: uneven(x),
    "taller": lambda e, x: rows((x.shape[0] + 1, 2), [1]),
    "float64": lambda e, x: RowSparseArray(x.data.astype(np.float64), x.indices, x.shape),
    "dense": lambda e, x: x.todense(),
    "in a weight": lambda e, x: RowSparseArray(e.arg_dict["wr0"][1:3], [0, 1], x.shape),
    "number": lambda e, x: 1.0,
}
NUMERIC: dict[str, Make] = {
    "float": lambda e, x: x,
    "integer": lambda e, x: 7,
    "numpy": lambda e, x: np.float32(x),
    "huge": lambda e, x: 10**400,
    "true": lambda e, x: True,
    "array": lambda e, x: np.array(x),
    "vector": lambda e, x: np.array([x]),
    "text": lambda e, x: "0.5",
    "nan": lambda e, x: float("nan"),
}


def uneven(x: RowSparseArray) -> RowSparseArray:
    x.indices = x.indices[:-1]
    return x


def values(executor: Executor, kinds: Mapping[str, str], seed: int) -> dict[str, Any]:
    """What is given to one executor."""
    random = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        key = name[1:]
        if name in NUMBERS:
            found[name] = NUMERIC[kind](executor, float(random.uniform(1, 4)))
        elif key in TABLES:
            some = random.integers(0, TABLES[key][0], 4)
            listed = np.unique(some) if seed % 2 else some  # with repeated rows, in no order
            found[name] = SPARSE[kind](executor, rows(TABLES[key], listed.tolist()))
        else:
            fresh = random.normal(size=SHAPES[key]).astype(DTYPES[key[0]])
            found[name] = DENSE[kind](executor, fresh)
    return found


NAMES = [*NUMBERS, *("g" + name for name in SHAPES), *("g" + name for name in TABLES)]
ODD = [(n, k) for n in NAMES for k in (NUMERIC if n in NUMBERS else SPARSE if n[1:] in TABLES else DENSE)]


def usual(name: str) -> str:
    """What a name gets nearly always."""
    return "float" if name in NUMBERS else "plain"


# Some of the names with what is usual, and a few that get something else.
GIVEN = st.builds(
    lambda names, odd: {n: usual(n) for n in names} | dict(odd),
    st.sets(st.sampled_from(NAMES)),
    st.lists(st.sampled_from(ODD), max_size=3),
)


def state(executor: Executor) -> tuple[Any, ...]:
    """All that a step could have left in an executor: the arrays it is bound to, what they hold, its numbers."""
    b = executor._step.bound
    held = {n: x.user_array().tobytes() for n, x in b.items() if x.array is not None}
    return {n: id(x.given) for n, x in b.items()}, held, executor._step.memory.numbers.copy()


def outcome(executor: Executor, given: Mapping[str, Any]) -> str:
    """A step; its error as a text. After an error, all is as before."""
    before = state(executor)
    try:
        executor.forward(**given)
    except SymoptError as error:
        assert state(executor) == before
        return f"{type(error).__name__}: {error}"
    return ""


def written(executor: Executor) -> dict[str, bytes]:
    """What the step writes, and which arguments are numbers."""
    step = executor._step
    found = {n: b.user_array().tobytes() for n, b in step.bound.items() if n in step.mutable}
    is_number = bytes(b.is_number for b in step.bound.values())
    return found | {"kinds": is_number, "output": executor.outputs[len(SHAPES)].tobytes()}


@pytest.mark.parametrize(("engine", "guard"), ENGINES)
@given(steps=st.lists(st.tuples(GIVEN, st.integers(0, 99)), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_taken_together_as_one_by_one(
    engine: str, guard: Any, steps: list[tuple[dict[str, str], int]]
) -> None:
    together, alone = bound(engine, guard), one_by_one(bound("reference", guard))
    for kinds, seed in steps:
        errors = [outcome(e, values(e, kinds, seed)) for e in (together, alone)]
        assert bool(errors[0]) == bool(errors[1])
        odd = [name for name, kind in kinds.items() if kind != usual(name)]
        if len(odd) < 2:  # of several faults, either may be named
            assert errors[0] == errors[1]
        together.forward()
        alone.forward()
        assert written(together) == written(alone)


def many(place: Place | None, engine: str) -> tuple[Executor, list[dict[str, Any]]]:
    """Momentum on more tensors than are pointed to one by one, and a norm over all; gradients for two steps."""
    random, count = np.random.default_rng(3), 2 * Pointers.FEW
    made = [
        {f"g{k}": random.normal(size=(k % 3 + 1, 5)).astype("float32") for k in range(count)} for _ in "abc"
    ]
    arrays, heads, squares = dict(made[0]), [], []
    for k in range(count):
        w, g, m = (sym.var(f"{name}{k}") for name in "wgm")
        heads.append(sym.sgd_mom_update(w, g, m, lr=0.1, momentum=0.9, out=w, name=f"u{k}"))
        squares.append(sym.sum(g * g))
        arrays |= {f"{name}{k}": np.ones_like(made[0][f"g{k}"]) for name in "wm"}
    symbol = sym.Group([*heads, *squares])
    if place is None:
        return symbol.bind(so.cpu(), args=arrays, aux_states=arrays, engine=engine), made[1:]
    arrays, fresh = up(place, arrays), [up(place, x) for x in made[1:]]
    return symbol.bind(so.gpu(0), args=arrays, aux_states=arrays, engine=engine), fresh


def test_many_gradients_on_a_gpu(gpu: Place, engine: str) -> None:
    (device, theirs), (host, ours) = many(gpu, engine), many(None, "reference")
    for on_device, on_host in zip(theirs, ours, strict=True):
        for names in (slice(None), slice(1, None, 2)):  # all of them, and some
            device.forward(**dict(list(on_device.items())[names]))
            host.forward(**dict(list(on_host.items())[names]))
            device.synchronize()
            for there, here in zip(device.outputs, host.outputs, strict=True):
                assert np.array_equal(there.get(), here)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_sets_of_names_are_forgotten_in_turn(engine: str) -> None:
    """More sets of names than are kept sorted: each is still taken rightly."""
    executor, [fresh, _] = many(None, engine)
    other = one_by_one(many(None, "reference")[0])
    for k in range(2 * KEPT):
        names = [name for j, name in enumerate(fresh) if j <= k or j % 2]
        given = {name: fresh[name] * k for name in names[k % 3 :]}
        executor.forward(**given)
        other.forward(**given)
        for x, y in zip(executor.outputs, other.outputs, strict=True):
            assert np.array_equal(x, y)
    assert len(executor._step._replacing._sorted) <= KEPT
