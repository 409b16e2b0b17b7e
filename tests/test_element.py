"""explain_element: its value has the bits that the step stores, whatever the op, storage, dtype, engine and place."""

import json
import zlib
from typing import Any

import numpy as np
import pytest
from device_graphs import GRAPHS, Graph
from hypothesis import given
from hypothesis import strategies as st
from test_engines import (
    STORAGES,
    UPDATES,
    bits,
    is_inexact,
    other_input,
    random_array,
    required,
    sparse_array,
    state_shape,
)
from test_random_graphs import QUICK, draw_graph
from where import Host, Where, put_all

from symopt import sym
from symopt.dtypes import COMPLEX, FLOATS, to_numpy
from symopt.opdef import STATE_KINDS, OpDef


def some_index(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(rng.integers(-n, n)) for n in shape)


def stored(executor: Any) -> dict[str, Any]:
    """Every name that the step makes a new value of, and where that is found afterwards."""
    written = executor._step.program.lowered.writes
    held = {**executor.arg_dict, **executor.aux_dict}
    variables = {name: held[name] for name in written}
    outputs = executor.output_dict
    return {**{n: x for n, x in outputs.items() if n not in held}, **variables}


def plain(x: Any) -> np.ndarray:
    return np.array(getattr(x, "data", x) if hasattr(x, "stype") else x)


def unlike(executor: Any, rng: np.random.Generator, elements: int = 3) -> list[str]:
    """What is explained otherwise than it then comes, of some elements of everything that is stored, next and last."""
    found = {}
    for name, array in stored(executor).items():
        shape = () if isinstance(array, (int, float)) else np.shape(array)
        for _ in range(elements if np.prod(shape, dtype=int) else 0):
            index = some_index(rng, shape)
            found[name, index] = executor.explain_element(name, index)
    with executor.recording():
        executor.forward()
    wrong = []
    after = stored(executor)
    for (name, index), told in found.items():
        for each in (told, executor.explain_element(name, index, "last")):
            json.dumps(each.as_dict(), allow_nan=False)
            assert str(each)
            if not np.array_equal(bits(each.value), bits(plain(after[name])[index])):
                wrong.append(f"{name}{index}: {each.value!r}, stored {plain(after[name])[index]!r}")
    return wrong


def bound(op: OpDef, storage: str, dtype: str, shape: tuple[int, ...], engine: str) -> Any:
    rng = np.random.default_rng(zlib.crc32(f"{op.name}{storage}{dtype}".encode()))
    attrs: dict[str, Any] = {"rescale_grad": 0.5, "clip_gradient": 0.7 if dtype in FLOATS else -1.0}
    attrs = {k: v for k, v in attrs.items() if k in op.attrs} | required(op)
    variables = [sym.var(name) for name in ("new", "given", *(i.name for i in op.inputs[2:]))]
    node = getattr(sym, op.name)(*variables, out=variables[0], lazy_update=storage != "standard", **attrs)
    kept = dict(zip(node.list_auxiliary_states(), node.infer_type_partial(new=dtype)[2], strict=True))
    states, others = {}, {}
    for spec in op.inputs[2:]:
        if spec.kind in STATE_KINDS:
            array = random_array(rng, state_shape(op, spec, shape), to_numpy(kept[spec.name]).name)
            states[spec.name] = array if array.dtype.kind == "c" else np.abs(array)
        else:
            others[spec.name] = other_input(rng, spec, shape, dtype)
    weight, dense = random_array(rng, shape, dtype, True), random_array(rng, shape, dtype, True)
    grad = dense if storage == "dense" else sparse_array(rng, shape, dtype, storage == "duplicates")
    return node.bind(args={"new": weight, "given": grad, **others}, aux_states=states, engine=engine)


CASES = [
    pytest.param(op, storage, dtype, id=f"{op.name}-{storage}-{dtype}")
    for op in UPDATES
    for storage in STORAGES
    for dtype in ("float32", "bfloat16")
]


@pytest.mark.parametrize(("op", "storage", "dtype"), CASES)
def test_every_update_op(op: OpDef, storage: str, dtype: str) -> None:
    executor = bound(op, storage, dtype, (9, 7), "reference")
    assert not unlike(executor, np.random.default_rng(0))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(
    "name", ["adam_update", "group_adagrad_update", "lamb_update_phase1", "torch_adafactor_update"]
)
def test_on_the_native_engine(name: str, storage: str) -> None:
    op = next(op for op in UPDATES if op.name == name)
    if is_inexact(op):
        pytest.skip("the last digit is the platform's")
    assert not unlike(bound(op, storage, "float32", (300, 170), "native"), np.random.default_rng(0))


def complex_executor(dtype: str) -> Any:
    op = next(op for op in UPDATES if op.name == "adam_update")
    return bound(op, "dense", dtype, (5, 4), "reference")


@pytest.mark.parametrize("dtype", COMPLEX)
def test_complex_weights(dtype: str) -> None:
    assert not unlike(complex_executor(dtype), np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@QUICK
@given(data=st.data())
def test_random_graphs(dtype: str, data: st.DataObject) -> None:
    drawing, symbol = draw_graph(data, dtype)
    executor = symbol.bind(args=drawing.bound, aux_states=drawing.bound, engine="reference")
    assert not unlike(executor, np.random.default_rng(0))


def bind(graph: Graph, where: Where) -> Any:
    return where.bind(graph.symbol, put_all(where, graph.args), put_all(where, graph.states))


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_several_ops(name: str) -> None:
    assert not unlike(bind(GRAPHS[name](), Host()), np.random.default_rng(0))


ON_DEVICE = [
    "clip, count and average",
    "lazy table, repeated rows",
    "whole table, repeated rows",
    "mp, bfloat16",
]


@pytest.mark.parametrize("name", ON_DEVICE)
def test_on_a_device(name: str, where: Where) -> None:
    executor = bind(GRAPHS[name](), where)
    index = {n: (0,) * np.ndim(x) for n, x in stored(executor).items() if np.size(x)}
    told = {n: executor.explain_element(n, at) for n, at in index.items()}
    with executor.recording():
        executor.forward()
    executor.synchronize()
    after = stored(executor)
    for n, at in index.items():
        expected = bits(where.get(after[n])[at])
        assert np.array_equal(bits(told[n].value), expected), n
        assert np.array_equal(bits(executor.explain_element(n, at, "last").value), expected), n
