"""Graphs on a device against the interpreter, bit for bit: on the emulator in small, on a GPU in full.

Those on a GPU are marked gpu. What compute-sanitizer watches, being slow, is marked smoke.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from device_graphs import (
    GRAPHS,
    Graph,
    adam_list,
    clipped_average,
    differences,
    lamb,
    table,
    unlike_reference,
    values_after,
)
from test_complex import TAKEN
from test_engines import (
    ORDINARY,
    SHAPES,
    STORAGES,
    UPDATES,
    bits,
    disagreement,
    ordinary_disagreement,
    random_array,
)
from where import Host, OnGpu, Where, put, put_all

from symopt import sym
from symopt.backends.cuda import geometry
from symopt.backends.cuda.device import Source
from symopt.canonical import canonical_fold
from symopt.codegen.cuda.text import service_text
from symopt.dtypes import FLOATS, to_numpy
from symopt.opdef import OpDef

CHUNK = geometry.CHUNK
SIZES = [1, 3, 4, 5, 1023, 1024, 1025, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7, 16, 0]
COLS = [1, 2, 3, 4, 5, 8, 31, 32, 33, 63, 64, 65, 100, 2048, 2049, 8191, 8192, 8193, 40000]
LISTINGS: dict[str, tuple[Sequence[int], bool]] = {  # rows of a gradient for 100, and whether it is canonical
    "none": ([], True), "one": ([42], True), "last": ([99], True), "all": (range(100), True),
    "ascending": (range(0, 100, 3), True), "descending": (range(99, 0, -2), False),
    "repeated": ([7, 7, 3, 99, 3, 7, 0], False), "one row only": ([5] * 40, False),
}  # fmt: skip


# ---- every op


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", UPDATES, ids=[op.name for op in UPDATES])
def test_update_op_equals_reference(op: OpDef, dtype: str) -> None:
    """Every shape and storage; flags, clip and edge values drawn from the case's name. Emulated: test_emulated.py."""
    for storage in STORAGES:
        assert not disagreement(op, storage, dtype, [OnGpu()], SHAPES)


@pytest.mark.gpu
@pytest.mark.parametrize("op", TAKEN, ids=[op.name for op in TAKEN])
def test_update_op_on_complex_numbers_equals_reference(op: OpDef) -> None:
    for storage in ("dense", "duplicates"):
        assert not disagreement(op, storage, "complex64", [OnGpu()], SHAPES)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", ORDINARY, ids=[op.name for op in ORDINARY])
def test_ordinary_op_equals_reference(op: OpDef, dtype: str) -> None:
    assert not ordinary_disagreement(op, dtype, OnGpu())


@pytest.mark.smoke
@pytest.mark.parametrize("name", GRAPHS)
def test_graph_equals_reference(where: Where, name: str) -> None:
    assert not unlike_reference(GRAPHS[name](), where)


# ---- sizes, alignment, lists


@pytest.mark.parametrize("dtype", FLOATS)
def test_ragged_sizes_and_any_alignment_in_one_launch(where: Where, dtype: str) -> None:
    """Arrays begin at multiples of 16 bytes and an element beside them, mixed."""
    graph = adam_list(SIZES, dtype)
    expected = values_after(graph, Host(), 1)
    args, states = (
        {name: put(where, x, int((i + len(name)) % 3 == 1)) for i, (name, x) in enumerate(given.items())}
        for given in (graph.args, graph.states)
    )
    executor = where.bind(graph.symbol, args, states)
    executor.forward()
    where.check()
    assert len(executor._step.program.launches) == 1
    for name, x in (args | states).items():
        assert np.array_equal(bits(expected[name]), bits(where.get(x))), name


@pytest.mark.parametrize("dtype", FLOATS)
def test_all_arrays_beside_alignment(where: Where, dtype: str) -> None:
    graph = adam_list([CHUNK + 5, 3], dtype)
    args, states = put_all(where, graph.args, 1), put_all(where, graph.states, 1)
    where.bind(graph.symbol, args, states).forward()
    where.check()
    expected = values_after(graph, Host(), 1)
    assert all(np.array_equal(bits(expected[n]), bits(where.get(x))) for n, x in (args | states).items())


@pytest.mark.parametrize("count", [1, 2, 300])
def test_lists_of_tensors(where: Where, count: int) -> None:
    assert not unlike_reference(adam_list(sizes_of(count)), where, 2)


@pytest.mark.gpu
def test_ten_thousand_tensors() -> None:
    assert not unlike_reference(adam_list(sizes_of(10_000)), OnGpu(), 2)


def sizes_of(count: int) -> list[int]:
    return [(7 * k) % 50 for k in range(count - 1)] + [1030]


@pytest.mark.parametrize("op", ["adam_update", "group_adagrad_update"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("storage", ["dense", "lazy", "standard"])
def test_rows_of_any_length(where: Where, op: str, dtype: str, storage: str) -> None:
    """Row sums in the canonical order for every number of threads per row, and rows of several blocks."""
    for cols in (*COLS, 65536) if where.is_gpu else COLS:
        rows = 40 if cols < 3000 else 3
        listed = np.random.default_rng(cols).integers(0, rows, rows // 2 + 1)
        graph = table(rows, cols, listed, storage == "lazy", dtype, op)
        if storage == "dense":
            graph.args["g"] = random_array(np.random.default_rng(2), (rows, cols), dtype)
        assert not unlike_reference(graph, where, 1), cols


@pytest.mark.parametrize("op", ["adam_update", "group_adagrad_update"])
@pytest.mark.parametrize("rows", [1, 7, 100_000])
def test_tables_of_any_length(where: Where, op: str, rows: int) -> None:
    rows = rows if where.is_gpu else min(rows, 3000)
    listed = np.random.default_rng(rows).integers(0, rows, rows // 3 + 1)
    for lazy in (True, False):
        assert not unlike_reference(table(rows, 64, listed, lazy, op=op), where, 2)


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["sum", "max", "min", "norm"])
def test_full_reductions(where: Where, name: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    for size in (0, 1, 63, 64, 65, 8191, 8192, 8193, 70000):
        x = random_array(rng, (size,), dtype, edges=name != "norm" and size % 2 == 1)
        graph = Graph(getattr(sym, name)(sym.var("x")), {"x": x}, {})
        assert not unlike_reference(graph, where, 1), size


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_column_sums(where: Any, dtype: str) -> None:
    rng = np.random.default_rng(9)
    (code,) = where.device.load([Source(*service_text())])
    for shape in [(2, 9001, 40), (1, 1, 1), (3, 65, 33), (1, 200, 300)]:
        x = random_array(rng, shape, dtype)
        given, out = put(where, x), where.device.zeros((shape[0], shape[2]), dtype)
        places = [np.uint64(where.device.address(a)) for a in (given, out)]
        where.device.launch(code[f"column_sum_{dtype}"], 3, (*places, *map(np.int64, shape)))
        where.check()
        assert np.array_equal(bits(canonical_fold(x, "add", 0.0)), bits(where.get(out))), shape


def test_repeated_values(where: Where) -> None:
    check_copies(where, np if not where.is_gpu else pytest.importorskip("cupy"), 3, 1 << 12)


@pytest.mark.gpu
def test_tensors_of_more_than_2_31_elements() -> None:
    check_copies(OnGpu(), pytest.importorskip("cupy"), 2049, 1 << 20)


def check_copies(where: Where, xp: Any, repeats: int, period: int) -> None:
    """float16 SGD on a tensor of `repeats` copies of `period` elements: each comes out as the one does alone."""
    w, g = sym.var("w"), sym.var("g")
    rng = np.random.default_rng(0)
    one = {n: random_array(rng, (period,), "float16", True) for n in "wg"}
    graph = Graph(sym.sgd_update(w, g, lr=0.1, wd=0.1, out=w), one, {})
    expected = bits(values_after(graph, Host(), 1)["w"])
    args = {n: xp.tile(put(where, x), repeats) for n, x in one.items()}
    where.bind(graph.symbol, args, {}).forward()
    found = args["w"].reshape(repeats, period)
    first = found[0].view(np.uint16)
    assert np.array_equal(bits(where.get(found[0])), expected)
    assert all(bool((found[k].view(np.uint16) == first).all()) for k in range(repeats))


# ---- row_sparse gradients and values


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("name", LISTINGS)
def test_rows_of_gradients(where: Where, name: str, lazy: bool) -> None:
    graph = table(100, 33, LISTINGS[name][0], lazy)
    found = values_after(graph, where)
    assert not differences(values_after(graph, Host()), found)
    if lazy:
        rest = np.setdiff1d(np.arange(100), graph.args["g"].indices)
        for key, before in {"w": graph.args["w"], **graph.states}.items():
            assert np.array_equal(found[key][rest], before[rest])


@pytest.mark.parametrize("value", [0.0, 1e-40, np.inf, -np.inf, np.nan, 65504.0])
@pytest.mark.parametrize("dtype", FLOATS)
def test_values_at_the_edge(where: Where, dtype: str, value: float) -> None:
    """As gradient, and the same with states that are zero."""
    graph = adam_list([(3, 37), 1025], dtype, clip_gradient=-1.0)
    for name in ("g0", "g1"):
        with np.errstate(over="ignore"):
            graph.args[name][..., ::2] = np.asarray(value).astype(to_numpy(dtype))
    assert not unlike_reference(graph, where, 2)
    for x in graph.states.values():
        x[...] = 0
    assert not unlike_reference(graph, where, 2)


def test_outputs_hold_nothing_of_what_memory_held(where: Where) -> None:
    """Weights and states without elements to read leave no NaN; outputs are filled with it between steps."""
    rng = np.random.default_rng(0)
    a = random_array(rng, (41, 130), "float32")
    x = sym.var("a")
    node = sym.Group([x * 2, sym.sum(x), sym.mean(x, axis=1)])
    executor = where.bind(node, {"a": put(where, a)}, {})
    first = [where.get(x).copy() for x in executor.forward()]
    for output in executor.outputs:
        output.fill(np.nan)
    again = [where.get(x) for x in executor.forward()]
    assert all(np.array_equal(bits(x), bits(y)) for x, y in zip(first, again, strict=True))
    assert not any(np.isnan(x).any() for x in again)


@pytest.mark.parametrize("make", [clipped_average, lamb], ids=["clip", "lamb"])
def test_no_result_depends_on_the_grid(where: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run twice, and on one block of threads, a block per multiprocessor, and five."""
    found = [values_after(make(), where), values_after(make(), where)]
    for blocks in (1, 5):
        monkeypatch.setattr(geometry, "PER_MULTIPROCESSOR", blocks)
        found.append(values_after(make(), where))
    with monkeypatch.context() as patch:
        patch.setattr(where.device, "multiprocessors", 1)
        patch.setattr(geometry, "PER_MULTIPROCESSOR", 1)
        found.append(values_after(make(), where))
    for other in found[1:]:
        assert not differences(found[0], other)
