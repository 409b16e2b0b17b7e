"""CUDA text on the emulator against the reference engine, bit for bit, under adversarial schedules."""

import zlib
from typing import Any

import numpy as np
import pytest
from test_engines import STORAGES, UPDATES, bits, is_inexact, random_array, run

from symopt import sym
from symopt.backends import choose
from symopt.backends.cuda import geometry
from symopt.backends.cuda.device import Source
from symopt.backends.cuda.emulator import Emulator
from symopt.canonical import canonical_fold
from symopt.codegen.cuda.text import service_text
from symopt.dtypes import FLOATS
from symopt.opdef import OpDef
from symopt.sparse import RowSparseArray

SAMPLE = 12  # one case in so many runs in the usual run
SHAPES = [(37, 51), (5,), (1, 1), (0, 4), (4, 0), (130, 64), (9, 3, 5), (3, 9001), ()]
SEEDS = (0, 2, 3, 5)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calling it makes engine="emulator" an emulator with these options."""

    def use(seed: int = 0, multiprocessors: int = 2) -> Emulator:
        device = Emulator(seed, multiprocessors)
        monkeypatch.setattr(choose, "emulator", lambda: device)
        return device

    return use


def cases(config: pytest.Config) -> list[tuple[OpDef, str, str]]:
    found = [(op, storage, dtype) for op in UPDATES for storage in STORAGES for dtype in FLOATS]
    if config.getoption("--all-kernels"):
        return found
    return [c for c in found if zlib.crc32(f"{c[0].name}{c[1]}{c[2]}".encode()) % SAMPLE == 0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        found = cases(metafunc.config)
        names = [f"{op.name}-{storage}-{dtype}" for op, storage, dtype in found]
        metafunc.parametrize("case", found, ids=names)


def test_emulator_equals_reference(
    case: tuple[OpDef, str, str], devices: Any, cxx: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every shape, with chunks so small that there are many, in four orders of threads, on 1 and on 3 processors."""
    op, storage, dtype = case
    monkeypatch.setattr(geometry, "CHUNK", 2048)
    for shape in SHAPES:
        if (shape == () and storage != "dense") or (op.is_matrix and len(shape) < 2):
            continue
        seed = f"{op.name}{storage}{dtype}{shape}"
        expected = run(op, storage, dtype, shape, "reference", seed)
        for order in SEEDS:
            devices(order, 1 + order % 3)
            found = run(op, storage, dtype, shape, "emulator", seed)
            for a, b in zip(expected, found, strict=True):
                if is_inexact(op):
                    tolerance = {"float64": 1e-9, "float32": 1e-4}.get(dtype, 2e-2)
                    np.testing.assert_allclose(a.astype(float), b.astype(float), tolerance, tolerance)
                else:
                    assert np.array_equal(bits(a), bits(b)), f"shape {shape}, schedule {order}"


# ---- sizes, alignment, many tensors


def adam(arrays: list[dict[str, Any]], engine: str, **attrs: Any) -> Any:
    """Adam on several tensors as one graph, in place."""
    nodes, args, states = [], dict[str, Any](), dict[str, Any]()
    for k, a in enumerate(arrays):
        w, g = sym.var(f"w{k}"), sym.var(f"g{k}")
        m, v = sym.var(f"m{k}"), sym.var(f"v{k}")
        nodes.append(
            sym.adam_update(w, g, m, v, lr=0.01 * (k + 1), wd=0.1, clip_gradient=0.5, out=w, **attrs)
        )
        args |= {f"w{k}": a["w"], f"g{k}": a["g"]}
        states |= {f"m{k}": a["m"], f"v{k}": a["v"]}
    return sym.Group(nodes).bind(args=args, aux_states=states, engine=engine)


def tensors(sizes: list[int], dtype: str, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    made = []
    for n in sizes:
        one = {name: random_array(rng, (n,), dtype) for name in "wgmv"}
        one["v"] = np.abs(one["v"])
        made.append(one)
    return made


@pytest.mark.parametrize("dtype", FLOATS)
def test_ragged_sizes_and_any_alignment_in_one_launch(devices: Any, cxx: None, dtype: str) -> None:
    """Guard pages begin where each array ends; arrays begin at multiples of 16 bytes and beside them."""
    sizes = [
        1,
        3,
        4,
        5,
        1023,
        1024,
        1025,
        geometry.CHUNK - 1,
        geometry.CHUNK + 1,
        3 * geometry.CHUNK + 7,
        16,
        0,
    ]
    for order in (0, 3):
        device = devices(order)
        given = tensors(sizes, dtype)
        expected = [{k: x.copy() for k, x in one.items()} for one in given]
        adam(expected, "reference").forward()
        placed = [
            {k: device.guarded(x, x.itemsize * ((i + j) % 3 == 1)) for j, (k, x) in enumerate(one.items())}
            for i, one in enumerate(given)
        ]
        executor = adam(placed, "emulator")
        executor.forward()
        device.check_guards()
        assert len(executor._step.program.launches) == 1
        for a, b in zip(expected, placed, strict=True):
            assert all(np.array_equal(bits(a[k]), bits(b[k])) for k in a)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_rows_of_any_length(devices: Any, cxx: None, dtype: str, lazy: bool) -> None:
    """Row sums in the canonical order for every number of threads per row, and rows of several blocks."""
    rng = np.random.default_rng(3)
    for cols in (1, 2, 3, 4, 5, 8, 31, 32, 33, 63, 64, 65, 100, 2048, 8191, 8192, 8193, 40000):
        rows = 40 if cols < 3000 else 3
        weight = random_array(rng, (rows, cols), dtype)
        history = np.abs(random_array(rng, (rows, 1), dtype))
        grad: Any = random_array(rng, (rows, cols), dtype)
        if lazy:
            listed = rng.integers(0, rows, rows // 2 + 1)
            grad = RowSparseArray(random_array(rng, (len(listed), cols), dtype), listed, (rows, cols))
        w, g, h = sym.var("w"), sym.var("g"), sym.var("h")
        node = sym.group_adagrad_update(w, g, h, lr=0.1, clip_gradient=0.9, out=w)
        results = []
        for engine, order in (("reference", 0), ("emulator", 0), ("emulator", 5), ("emulator", 7)):
            device = devices(order)
            args = {"w": device.guarded(weight), "g": grad}
            state = device.guarded(history)
            node.bind(args=args, aux_states={"h": state}, engine=engine).forward()
            device.check_guards()
            results.append((bits(args["w"]), bits(state)))
        for found in results[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(results[0], found, strict=True)), cols


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["sum", "max", "min", "norm"])
def test_full_reductions(devices: Any, cxx: None, name: str, dtype: str) -> None:
    rng = np.random.default_rng(5)
    for size in (0, 1, 63, 64, 65, 8191, 8192, 8193, 70000):
        x = random_array(rng, (size,), dtype, edges=name != "norm" and size % 2 == 1)
        node = getattr(sym, name)(sym.var("x"))
        expected = node.bind(args={"x": x}, engine="reference").forward()[0]
        for order in (0, 3):
            device = devices(order, 1 + order)
            found = node.bind(args={"x": device.guarded(x)}, engine="emulator").forward()[0]
            assert np.array_equal(bits(expected), bits(found)), (size, order)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_column_sums(devices: Any, cxx: None, dtype: str) -> None:
    rng = np.random.default_rng(9)
    for shape in [(2, 9001, 40), (1, 1, 1), (3, 65, 33), (1, 200, 300)]:
        x = random_array(rng, shape, dtype)
        expected = canonical_fold(x, "add", 0.0)
        for order in (0, 3, 5):
            device = devices(order, 1 + order)
            (code,) = device.load([Source(*service_text())])
            given, out = device.guarded(x), device.zeros((shape[0], shape[2]), dtype)
            places = [np.uint64(device.address(a)) for a in (given, out)]
            device.launch(code[f"column_sum_{dtype}"], 3, (*places, *map(np.int64, shape)))
            assert np.array_equal(bits(expected), bits(out)), (shape, order)


def test_a_step_is_one_launch_per_kernel_for_any_number_of_tensors(devices: Any, cxx: None) -> None:
    device = devices()
    launched, launch = list[str](), device.launch

    def counted(function: Any, *rest: Any) -> None:
        launched.append(function.name)
        launch(function, *rest)

    device.launch = counted
    executor = adam(tensors([7] * 300, "float32"), "emulator")
    executor.forward()
    assert launched == ["run"]
