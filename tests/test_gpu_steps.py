"""Steps on a device as their user sees them: arrays replaced, wrong rows, recorded steps; and streams and threads."""

import gc
import os
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from device_graphs import GRAPHS, adam_list, clipped_average, differences, lamb, table, values_after
from test_engines import bits
from where import Host, OnGpu, Where, put, put_all

import symopt as so
from symopt import sym
from symopt.sparse import RowSparseArray

ROOT = Path(__file__).parents[1]
RECORDED = [name for name in GRAPHS if "repeated" not in name]


def bound(where: Where, graph: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """An executor, and all the arrays it was given."""
    args, states = put_all(where, graph.args), put_all(where, graph.states)
    return where.bind(graph.symbol, args, states, **options), args | states


def test_a_step_is_one_launch_for_any_number_of_tensors(where: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    launched, launch = list[Any](), where.device.launch

    def counted(function: Any, *rest: Any) -> None:
        launched.append(function)
        launch(function, *rest)

    executor, _ = bound(where, adam_list([7] * 300))
    monkeypatch.setattr(where.device, "launch", counted)
    executor.forward()
    assert len(launched) == 1


def test_other_arrays_take_effect(where: Where) -> None:
    """By keyword and by arg_dict; the first ones are left alone from then on."""
    graph = adam_list([(37, 5), 9001])
    executor, given = bound(where, graph)
    executor.forward()
    before = where.get(given["w0"]).copy()
    fresh = {n: put(where, graph.args[n] * 2) for n in ("w0", "g1")}
    executor.forward(g1=fresh["g1"])
    executor.arg_dict["w0"] = fresh["w0"]
    after = where.get(given["w0"]).copy()
    executor.forward()
    assert not np.array_equal(before, after)
    assert np.array_equal(after, where.get(given["w0"]))
    host, _ = bound(Host(), graph)
    host.forward()
    host.forward(g1=graph.args["g1"] * 2)
    host.forward(w0=graph.args["w0"] * 2)
    assert np.array_equal(bits(host.arg_dict["w0"]), bits(where.get(fresh["w0"])))
    assert np.array_equal(bits(host.arg_dict["w1"]), bits(where.get(given["w1"])))


def test_an_executor_keeps_its_arrays(where: Where) -> None:
    graph = table(50, 33, [3, 7, 7], True)
    executor, given = bound(where, graph)
    kept = weakref.ref(given["m"])
    expected = values_after(graph, Host())
    given.clear()
    gc.collect()
    junk = [put(where, np.full((50, 33), np.nan, np.float32)) for _ in range(8)]
    for _ in range(3):
        executor.forward()
    assert np.array_equal(bits(expected["w"]), bits(where.get(executor.arg_dict["w"])))
    assert kept() is not None and len(junk) == 8
    del executor
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("later", ["forward", "synchronize"])
def test_a_wrong_row_is_found_on_the_device_and_raised_later(where: Any, lazy: bool, later: str) -> None:
    executor, given = bound(where, table(50, 12, [3, 40, 7, 7], lazy))
    executor.forward()
    executor.synchronize()
    names = [n for n in given if n != "g"]
    before = {n: where.get(given[n]).copy() for n in names}
    given["g"].indices[1:2] = 50
    executor.forward()
    where.device.synchronize()
    with pytest.raises(so.errors.RowIndexError, match=r"'g'.*indices\[1\] = 50 is not a row of 50"):
        getattr(executor, later)()
    assert not differences(before, {n: where.get(given[n]) for n in names})
    given["g"].indices[1:2] = 41
    executor.forward()
    executor.synchronize()
    assert differences(before, {n: where.get(given[n]) for n in names})


@pytest.mark.parametrize("last", [8, 9])
def test_a_broken_promise_of_order_writes_nothing(where: Where, last: int) -> None:
    graph = table(50, 12, [3, 9, last], True)
    graph.args["g"].canonical = True
    executor, given = bound(where, graph)
    executor.forward()
    with pytest.raises(so.errors.RowIndexError, match=rf"canonical=True promises .*indices\[2\] = {last}"):
        executor.synchronize()
    assert np.array_equal(where.get(given["w"]), graph.args["w"])


def test_gradients_of_other_lengths(where: Where) -> None:
    graph = table(50, 12, [1, 2], True)
    executor, given = bound(where, graph)
    host, expected = bound(Host(), graph)
    rng = np.random.default_rng(7)
    for n in (0, 1, 7, 60, 2):
        rows = rng.integers(0, 50, n)
        g = RowSparseArray(rng.standard_normal((n, 12), np.float32), rows, (50, 12))
        host.forward(g=g)
        executor.forward(g=put(where, g))
        assert np.array_equal(bits(expected["w"]), bits(where.get(given["w"]))), n


@pytest.mark.smoke
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_steps_are_the_same(where: Where, name: str) -> None:
    plain, recorded = (values_after(GRAPHS[name](), where, 4, capture=capture) for capture in (False, True))
    assert not differences(plain, recorded)


def test_recorded_steps_take_other_arrays(where: Where) -> None:
    graph = clipped_average()
    executors = [bound(where, graph, capture=capture) for capture in (False, True)]
    for k in range(5):
        for executor, _ in executors:
            executor.forward(lr=0.01 * (k + 1), **({"g0": put(where, graph.args["g0"] * k)} if k % 2 else {}))
    (_, one), (_, other) = executors
    for n in ("w0", "w3", "e0", "m0", "v3"):
        assert np.array_equal(bits(where.get(one[n])), bits(where.get(other[n]))), n


# ---- streams and threads, which only a GPU has


@pytest.mark.gpu
def test_two_executors_on_two_streams() -> None:
    """Each works on the stream current at its forward, whichever it was bound on."""
    import cupy

    where = OnGpu()
    expected = [values_after(make(), Host(), 20) for make in (clipped_average, lamb)]
    executors = [bound(where, make()) for make in (clipped_average, lamb)]
    cupy.cuda.Device().synchronize()
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in executors]
    for k in range(20):
        for stream, (executor, _) in zip(streams, executors, strict=True):
            with stream:
                executor.forward(**({"lr": 1e-3 * (k + 1)} if "lr" in executor.arg_dict else {}))
    for stream, (_, given), wanted in zip(streams, executors, expected, strict=True):
        stream.synchronize()
        for name, x in given.items():
            if hasattr(x, "nbytes"):
                assert np.array_equal(bits(x.get()), bits(wanted[name])), name


@pytest.mark.gpu
def test_work_waits_for_nothing() -> None:
    """Steps are enqueued while the device is busy with something long before them."""
    import cupy

    where = OnGpu()
    executor, given = bound(where, table(50, 33, [3, 7, 7], True))
    for _ in range(3):  # fills CuPy's pools
        executor.forward()
    cupy.cuda.Device().synchronize()
    spin = cupy.RawKernel(
        'extern "C" __global__ void spin(long long n) { long long t = clock64(); while (clock64() - t < n) {} }',
        "spin",
    )
    spin((1,), (1,), (np.int64(1),))
    cupy.cuda.Device().synchronize()
    spin((1,), (1,), (np.int64(2_000_000_000),))  # a second
    done = cupy.cuda.Event()
    done.record()
    for _ in range(3):
        executor.forward()
    assert not done.done
    expected = values_after(table(50, 33, [3, 7, 7], True), Host(), 6)
    assert np.array_equal(bits(expected["w"]), bits(given["w"].get()))


@pytest.mark.gpu
def test_torch_tensors_on_torchs_stream() -> None:
    import cupy

    torch = pytest.importorskip("torch")
    stream = torch.cuda.Stream()
    w, g, m, v = map(sym.var, "wgmv")
    symbol = sym.adam_update(w, g, m, v, lr=0.1, out=w)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        with torch.cuda.stream(stream), cupy.cuda.ExternalStream(stream.cuda_stream):
            weight, grad = torch.ones(10_000_000, dtype=dtype, device="cuda"), None
            mean, var = torch.zeros_like(weight), torch.zeros_like(weight)
            executor = None
            for k in range(5):
                grad = torch.full_like(weight, float(k))
                if executor is None:
                    arrays = {"w": weight, "g": grad}, {"m": mean, "v": var}
                    executor = symbol.bind(so.gpu(0), args=arrays[0], aux_states=arrays[1])
                executor.forward(g=grad)
                weight += 1  # torch's own work after ours, on the same stream
        stream.synchronize()
        ones = {n: np.zeros(1, so.dtypes.to_numpy(str(dtype).removeprefix("torch."))) for n in "wgmv"}
        ones["w"] += 1
        host = symbol.bind(args=ones, aux_states=ones, engine="reference")
        for k in range(5):
            ones["g"][...] = k
            host.forward()
            ones["w"] += 1
        assert bool((weight == weight[0]).all()) and float(weight[0]) == float(ones["w"][0])


@pytest.mark.gpu
def test_threads_that_compile_the_same_kernels_first(tmp_path: Path) -> None:
    """In a process of its own, where nothing is compiled yet."""
    code = "import sys; sys.path.insert(0, 'tests'); from test_gpu_steps import compile_together as c; c()"
    environment = {**os.environ, "SYMOPT_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"] * 8


def compile_together() -> None:
    expected = values_after(clipped_average(), Host())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: values_after(clipped_average(), OnGpu()), range(8)))
    for one in found:
        print(not differences(expected, one))
