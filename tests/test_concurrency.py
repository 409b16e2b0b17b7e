"""Several threads, several executors, forks: the bits of a run alone."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_engines import bits

import symopt as so
from symopt import config, sym

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def default_threads() -> Iterator[None]:
    yield
    so.set_num_threads(None)


def build(kind: str, seed: int) -> tuple[Any, dict[str, Any]]:
    """An executor large enough to be shared out over threads, and its arrays."""
    rng = np.random.default_rng(seed)
    shape = (3000, 96)
    given: dict[str, Any] = {n: rng.random(shape, np.float32) for n in "wgmv"}
    w, g, m, v = (sym.var(n) for n in "wgmv")
    if kind == "sparse":
        indices = rng.integers(0, shape[0], 2000)
        given["g"] = so.sparse.row_sparse_array((rng.random((2000, 96), np.float32), indices), shape=shape)
    attrs = {"rescale_grad": 1 / (sym.norm(g) + 1)} if kind == "norm" else {}
    symbol = sym.adam_update(w, g, m, v, lr=0.1, out=w, lazy_update=kind != "standard", **attrs)
    return symbol.bind(args=given, aux_states=given), given


def result(kind: str, seed: int, steps: int = 5) -> list[np.ndarray]:
    executor, given = build(kind, seed)
    for _ in range(steps):
        executor.forward()
    return [given[n] for n in "wmv"]


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    assert all(np.array_equal(bits(a), bits(b)) for a, b in zip(one, other))


KINDS = ["dense", "sparse", "norm"]


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_threads(kind: str) -> None:
    results = []
    for threads in (1, 2, 4, 7):
        so.set_num_threads(threads)
        results.append(result(kind, 0))
    for other in results[1:]:
        assert_same(results[0], other)


def test_eight_executors_in_eight_threads() -> None:
    alone = [result(KINDS[k % 3], k) for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda k: result(KINDS[k % 3], k), range(8)))
    for one, other in zip(alone, together):
        assert_same(one, other)


def test_one_executor_in_eight_threads_takes_whole_steps() -> None:
    given = {n: np.zeros((500, 64), np.float32) for n in "wg"}
    count, w = sym.var("t", shape=()), sym.var("w")
    t = sym._plus_scalar(count, scalar=1, out=count)
    step = sym.Group([sym.elemwise_add(w, sym.ones_like(sym.var("g")), out=w), t])
    executor = step.bind(args={**given, "t": 0})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: executor.forward(), range(200)))
    assert executor.arg_dict["t"] == 200 and (given["w"] == 200).all()


def test_eager_calls_from_eight_threads() -> None:
    def work(k: int) -> np.ndarray:
        w = np.full(5000, k, np.float32)
        for _ in range(50):
            so.nd.sgd_update(w, np.ones_like(w), lr=0.5, out=w)
        return w

    with ThreadPoolExecutor(8) as pool:
        for k, w in enumerate(pool.map(work, range(8))):
            assert (w == k - 25).all()


def test_fork_after_use() -> None:
    so.set_num_threads(2)
    expected = result("dense", 1, steps=3)
    executor, given = build("dense", 1)
    executor.forward()  # the pool has threads now, which the child will not have
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            executor.forward()
            executor.forward()
            fresh = result("norm", 2)
            good = all(np.array_equal(bits(a), bits(given[n])) for a, n in zip(expected, "wmv"))
            code = 0 if good and all(np.isfinite(x).all() for x in fresh) else 2
        finally:
            os.write(writer, bytes([code]))
            os._exit(code)
    assert os.read(reader, 1) == b"\0"
    os.waitpid(child, 0)
    executor.forward()
    executor.forward()
    assert_same(expected, [given[n] for n in "wmv"])


def test_fork_while_another_thread_is_in_a_step() -> None:
    """The child's copy of the executor must not wait for a thread that it does not have."""
    executor = build("dense", 3)[0]
    inside, leave = threading.Event(), threading.Event()

    def pause(name: str, array: np.ndarray) -> None:
        inside.set()
        leave.wait()

    executor.set_monitor_callback(pause)
    stepping = threading.Thread(target=executor.forward)
    stepping.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs is killed, and its status says so
        executor.set_monitor_callback(None)
        executor.forward()
        os._exit(0)
    leave.set()
    stepping.join()
    assert os.waitpid(child, 0)[1] == 0


def test_forked_processes_of_multiprocessing() -> None:
    expected = [result(kind, 4) for kind in KINDS]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(result, [(kind, 4) for kind in KINDS])
    for one, other in zip(expected, found):
        assert_same(one, other)


def test_number_of_threads() -> None:
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="positive integer"):
            so.set_num_threads(bad)  # type: ignore[arg-type]
    so.set_num_threads(3)
    assert config.num_threads() == 3
    code = "import symopt; print(symopt.num_threads())"
    environment = {**os.environ, "SYMOPT_NUM_THREADS": "5", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "5"
