"""A step allocates nothing of an array's size; code is shared; arrays are let go."""

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import sym
from symopt.backends import jit

SHAPE = (2000, 512)  # 4 MB


def arrays() -> dict[str, Any]:
    return {n: np.ones(SHAPE, np.float32) for n in "wgmve"}


def graph(kind: str) -> Any:
    w, g, m, v, e = (sym.var(n) for n in "wgmve")
    scale = 1 / (sym.norm(g) + 1) if kind == "norm" else 1.0
    u = sym.adam_update(w, g, m, v, lr=0.1, rescale_grad=scale, lazy_update=kind != "standard", out=w)
    if kind == "average":
        return sym.Group([u, sym.elemwise_add(0.9 * e, 0.1 * u, out=e)])
    return u


@pytest.mark.parametrize("kind", ["plain", "norm", "average", "sparse", "standard"])
def test_forward_allocates_nothing_of_an_arrays_size(kind: str) -> None:
    given = arrays()
    if kind in ("sparse", "standard"):
        rows = np.ones((200, 512), np.float32)
        given["g"] = so.sparse.row_sparse_array((rows, np.arange(200)[::-1].copy()), shape=SHAPE)
    executor = graph(kind).bind(args=given, aux_states=given)
    executor.forward()
    executor.forward()
    tracemalloc.start()
    try:
        for _ in range(3):
            executor.forward()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_code_is_compiled_once_for_a_signature() -> None:
    given = arrays()
    first = graph("average").bind(args=given, aux_states=given)
    first.forward()
    compiled = jit.compiled_count()
    smaller = {n: np.ones((7, 3), np.float32) for n in "wgmve"}
    graph("average").bind(args=smaller, aux_states=smaller).forward()
    assert jit.compiled_count() == compiled
    two = [graph("average") for _ in range(2)]
    assert len({id(x.bind(args=given, aux_states=given)._step.program.launches[0].kernel) for x in two}) == 1


def test_an_executor_that_is_gone_lets_go_of_the_arrays() -> None:
    given = arrays()
    executor = graph("plain").bind(args=given, aux_states=given)
    executor.forward()
    watched = weakref.ref(given["w"])
    del executor, given
    gc.collect()
    assert watched() is None


def test_eager_calls_let_go_of_the_arrays() -> None:
    w, g = np.ones(1000, np.float32), np.ones(1000, np.float32)
    so.nd.sgd_update(w, g, lr=0.1, out=w)
    watched = weakref.ref(g)
    del g
    gc.collect()
    assert watched() is None


def available_bytes() -> int:
    try:
        with open("/proc/meminfo") as info:
            return next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))
    except OSError:
        return 0


@pytest.mark.slow
@pytest.mark.skipif(available_bytes() < 12 << 30, reason="needs 12 GB of free memory")
def test_more_than_two_to_the_31_elements() -> None:
    n = 2**31 + 4096
    w, g = np.zeros(n, np.float16), np.zeros(n, np.float16)
    w[[0, 1, -1]], g[[0, -1, -2]] = 1, 1
    weight = sym.var("w")
    sym.sgd_update(weight, sym.var("g"), lr=0.5, out=weight).bind(args={"w": w, "g": g}).forward()
    assert w[:2].tolist() == [0.5, 1] and w[-3:].tolist() == [0, -0.5, 0.5]
