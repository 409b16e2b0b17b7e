"""Bytes that a step is said to keep and move: those of the arrays there are, and what kernels really read and write."""

from typing import Any

import numpy as np
import pytest
from device_graphs import GRAPHS, Graph
from test_engines import STORAGES, UPDATES, other_input, random_array, required, sparse_array, state_shape
from where import Emulated, put_all

import symopt as so
from symopt import sym
from symopt.backends.cuda.launch import CudaLaunch
from symopt.backends.launch import NativeLaunch
from symopt.cost.model import Cost
from symopt.opdef import STATE_KINDS
from symopt.passes.traffic import moved
from symopt.sparse import RowSparseArray

DTYPES = ("float32", "float16", "bfloat16", "float64", "complex64")


def nbytes(array: Any) -> int:
    if isinstance(array, RowSparseArray):
        return int(array.data.nbytes + array.indices.nbytes)
    return int(array.nbytes) if getattr(array, "shape", ()) != () else 0


def scratch(executor: Any) -> int:
    """What the launches of the native engine, or of CUDA's, hold beside their tables."""
    total = 0
    for launch in executor._step.engine.launches:
        if isinstance(launch, NativeLaunch):
            total += sum(array.nbytes for array in (*launch.keep, *launch._scratch))
            given = 2 * len(launch._gradients)  # indices and data; then what repeated rows were sorted into
            total += sum(array.nbytes for array in launch.tables[given:])
        elif isinstance(launch, CudaLaunch):
            total += sum(array.nbytes for array in launch._partials)
    return total


def check(executor: Any) -> Cost:
    """What the cost says is there is there; the step must have run."""
    cost: Cost = executor.cost()
    step = executor._step
    for variable in cost.variables:
        b = step.bound[variable.name]
        assert variable.bytes == nbytes(b.sparse if b.sparse is not None else b.array), variable
    assert cost.buffers == sum(a.nbytes for k, a in step.memory.arrays.items() if isinstance(k, int))
    assert cost.scratch == scratch(executor)
    assert cost.strided == sum(b.source.nbytes for b in step.strided)
    assert cost.memory == sum(v.bytes for v in cost.variables) + cost.buffers + cost.scratch + cost.strided
    assert cost.copies == {name: step.memory.arrays[name].nbytes for _, name in step.program.copies}
    return cost


def bound(op: Any, storage: str, dtype: str, shape: tuple[int, ...] = (37, 51), **attrs: Any) -> Any:
    """An executor of one op on random arrays."""
    rng = np.random.default_rng(0)
    names = [spec.name for spec in op.inputs]
    variables = [sym.var(name) for name in names]
    node = getattr(sym, op.name)(
        *variables, out=variables[0], lazy_update=storage != "standard", **required(op), **attrs
    )
    kept = dict(
        zip(node.list_auxiliary_states(), node.infer_type_partial(**{names[0]: dtype})[2], strict=True)
    )
    args: dict[str, Any] = {names[0]: random_array(rng, shape, dtype)}
    args[names[1]] = (
        random_array(rng, shape, dtype)
        if storage == "dense"
        else sparse_array(rng, shape, dtype, storage == "duplicates", edges=False)
    )
    states = {}
    for spec in op.inputs[2:]:
        if spec.kind in STATE_KINDS:
            states[spec.name] = np.abs(random_array(rng, state_shape(op, spec, shape), "float32"))
            states[spec.name] = states[spec.name].astype(kept[spec.name])
        else:
            args[spec.name] = other_input(rng, spec, shape, dtype)
    return node.bind(args=args, aux_states=states)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("op", UPDATES, ids=lambda op: op.name)
def test_every_op(op: Any, storage: str) -> None:
    executor = bound(op, storage, "float32")
    executor.forward()
    cost = check(executor)
    assert cost.total("weight") == 37 * 51 * 4 and cost.total("gradient") == cost.gradients
    states = [op.inputs[k].name for k in op.state_positions]
    assert {v.name for v in cost.variables if v.role == "state"} == set(states)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", ["sgd_update", "adam_update"])
def test_every_dtype(name: str, storage: str, dtype: str) -> None:
    op = next(op for op in UPDATES if op.name == name)
    executor = bound(op, storage, dtype)
    executor.forward()
    check(executor)


@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_graphs(name: str) -> None:
    graph: Graph = GRAPHS[name]()
    executor = graph.symbol.bind(args=graph.args, aux_states=graph.states)
    executor.forward()
    check(executor)


@pytest.mark.parametrize("name", ["lamb", "lazy table, repeated rows", "whole table, repeated rows"])
def test_on_an_emulated_gpu(name: str, emulated: None) -> None:
    graph, where = GRAPHS[name](), Emulated()
    executor = where.bind(graph.symbol, put_all(where, graph.args), put_all(where, graph.states))
    executor.forward()
    executor.synchronize()
    cost = executor.cost()
    slots = executor._step.engine.gradients
    held = sum(x.nbytes for x in slots.slots.values()) if slots else 0
    ordered = [g for g in (slots.places.values() if slots else ()) if g.order]
    assert cost.scratch == scratch(executor) + held + sum(16 * g.listed for g in ordered)


def test_strided_views_and_late_copies() -> None:
    a, b = sym.var("a"), sym.var("b")
    new = sym.sgd_update(a, b, lr=0.1, out=a)
    entangled = sym.Group([new, sym.sgd_update(b, a * sym.sum(new), lr=0.2, out=b)])
    arrays = {"a": np.ones((6, 4), np.float32), "b": np.zeros((6, 4), np.float32)}
    executor = entangled.bind(args=arrays)
    executor.forward()
    cost = check(executor)
    assert sum(cost.copies.values()) == 96
    assert cost.buffers >= 96 and cost.written - sum(launch.written for launch in cost.launches) == 96
    w, g = sym.var("w"), sym.var("g")
    update = sym.sgd_update(w, g, lr=1, out=w)
    executor = update.bind(args={"w": np.ones((6, 4)), "g": np.ones((4, 6)).T})
    executor.forward()
    cost = check(executor)
    assert cost.strided == 192
    assert cost.read == 3 * 192 and cost.written == 2 * 192


def test_shapes_that_no_memory_holds() -> None:
    """Nothing is allocated: exabytes cost what bytes do."""
    w, g, m, v = (sym.var(name) for name in "wgmv")
    cost = sym.adam_update(w, g, m, v, lr=1, out=w).cost(w=(1 << 40, 1 << 20))
    size = 4 << 60
    assert (cost.weights, cost.gradients, cost.states, cost.memory) == (size, size, 2 * size, 4 * size)
    assert (cost.read, cost.written) == (4 * size, 3 * size)
    rows = sym.adam_update(w, g, m, v, lr=1, out=w).cost(
        w=(1 << 40, 1 << 20), stype_dict={"g": "row_sparse"}, rows={"g": 1000}
    )
    row = 4 << 20
    assert rows.gradients == 1000 * (row + 8) and rows.states == 2 * size
    assert (rows.read, rows.written) == (4000 * row + 8000, 3000 * row)
    assert rows.launches[0].elements == 1000 << 20


def test_missing_shapes_are_named() -> None:
    w, g = sym.var("w"), sym.var("g")
    with pytest.raises(so.errors.MissingArgumentError, match="the shapes of w, g"):
        sym.sgd_update(w, g, lr=1, out=w).cost()


@pytest.mark.parametrize("storage", ("dense", "standard"))
@pytest.mark.parametrize("op", [op for op in UPDATES if not op.is_matrix], ids=lambda op: op.name)
def test_what_is_said_not_to_be_read_or_written_is_not(op: Any, storage: str) -> None:
    """Arrays that a step is said not to read may hold anything; those it is said not to write keep every bit."""
    executor, other = bound(op, storage, "float32"), bound(op, storage, "float32")
    planned = executor._planned()
    read, written = set(), set()
    for launch in planned.program.launches:
        for instance in launch.instances:
            for m in moved(launch.kernel, instance.domain, planned.rows_of(launch.kernel, instance)):
                name = planned.program.storage.get(id(instance.values[m.buffer].whole))
                read |= {name} if m.read else set()
                written |= {name} if m.written else set()
    arrays = {n: b.array for n, b in other._step.bound.items() if b.array is not None and b.array.ndim > 1}
    for name in set(arrays) - read:
        arrays[name][...] = np.nan
    before = {name: array.copy() for name, array in arrays.items() if name not in written}
    executor.forward()
    other.forward()
    for name, array in before.items():
        assert np.array_equal(array, arrays[name], equal_nan=True), name
    for name in written & set(arrays):
        assert np.array_equal(arrays[name], executor._step.bound[name].array, equal_nan=True), name


def test_five_thousand_nodes() -> None:
    nodes, shapes = [], dict[str, Any]()
    for k in range(5000):
        w, g, m = (sym.var(f"{n}{k}") for n in "wgm")
        nodes.append(sym.sgd_mom_update(w, g, m, lr=0.1, momentum=0.9, out=w))
        shapes[f"w{k}"] = (k % 7 + 1, 8)
    cost = sym.Group(nodes).cost(**shapes)
    elements = sum(rows * columns for rows, columns in shapes.values())
    assert len(cost.launches) == 1 and cost.launches[0].tensors == 5000
    assert cost.read == 12 * elements and cost.written == 8 * elements and cost.states == 4 * elements
    assert len(cost.as_dict()["variables"]) == 15000 and len(str(cost).splitlines()) < 20
