"""Parts of a gradient replaced between steps, outputs given back as inputs, eager calls across a fork."""

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt import nd, sym
from symopt.errors import ArrayError, DTypeError, ShapeError, SymoptError

SHAPE = (6, 4)


@pytest.fixture(params=["native", "reference"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def step(engine: str) -> tuple[Any, Any, np.ndarray]:
    w, weight = np.zeros(SHAPE, np.float32), sym.var("w")
    g = so.sparse.row_sparse_array((np.ones((2, 4), np.float32), [1, 3]), shape=SHAPE)
    executor = sym.sgd_update(weight, sym.var("g"), lr=1.0, out=weight).bind(
        args={"w": w, "g": g}, engine=engine
    )
    return executor, g, w


def test_both_parts_replaced(engine: str) -> None:
    executor, g, w = step(engine)
    g.data, g.indices = np.full((3, 4), 2, np.float32), np.array([5, 0, 1], np.int32)
    executor.forward()
    assert w[:, 0].tolist() == [-2, -2, 0, 0, 0, -2]


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_one_part_replaced_is_refused_at_the_step(engine: str, rows: int) -> None:
    executor, g, w = step(engine)
    g.indices = np.zeros(rows, np.int64)
    with pytest.raises(ArrayError, match=f"{rows} indices and 2 rows"):
        executor.forward()
    assert not w.any()
    g.data = np.ones((rows, 4), np.float32)
    executor.forward()
    assert w[0, 0] == -rows


def test_parts_that_never_fit_are_refused_when_assigned() -> None:
    g = step("native")[1]
    cases: list[tuple[str, Any, type[SymoptError]]] = [
        ("data", np.ones((2, 3), np.float32), ShapeError),
        ("data", np.ones((2, 4)), DTypeError),
        ("indices", np.ones((2, 1), np.int64), ArrayError),
        ("indices", np.ones(2), ArrayError),
    ]
    for name, value, error in cases:
        with pytest.raises(error):
            setattr(g, name, value)
    assert g.indices.tolist() == [1, 3] and g.data.shape == (2, 4)
    with pytest.raises(AttributeError):
        g.shape = (9, 4)


def test_eager_calls_after_a_fork_in_the_middle_of_one() -> None:
    arrays = [np.ones(9, np.float32) for _ in range(2)]
    nd.sgd_update(*arrays, lr=0.5)
    busy = [step.lock for step in nd._steps.values()]
    thread = threading.Thread(target=lambda: [lock.acquire() for lock in busy])
    thread.start()
    thread.join()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a child that hangs is killed, and its status says so
        nd.sgd_update(*arrays, lr=0.5)
        os._exit(0)
    for lock in busy:
        lock.release()
    assert os.waitpid(child, 0)[1] == 0
