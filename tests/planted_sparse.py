"""Workloads of planted_work with row_sparse gradients: listed rows, looked-up rows, and wrong indices."""

import re
from typing import Any

import numpy as np
from planted_work import Engine, entangled, normal

from symopt import sym
from symopt.errors import RowIndexError
from symopt.sparse import RowSparseArray


def lazy(engine: Engine) -> list[Any]:
    """Rows listed several times, in any order; what is added to minus zero shows the sign of a sum of zeros. At the
    second step fewer rows are listed."""
    nodes, args, states = [], dict[str, Any](), dict[str, Any]()
    for k, shape in enumerate([(40, 5), (30, 64), (4, 9001), (50, 1)]):
        w, g, h = (sym.var(f"{name}{k}") for name in "wgh")
        op = sym.sgd_update(w, g, lr=1, out=w) if k == 3 else sym.group_adagrad_update(w, g, h, lr=0.1, out=w)
        nodes.append(op)
        listed = np.random.default_rng(k).integers(0, shape[0], 2 * shape[0])
        data = np.full((len(listed), 1), -0.0, np.float32) if k == 3 else normal(k, (len(listed), shape[1]))
        weight = np.full(shape, -0.0, np.float32) if k == 3 else normal(50 + k, shape)
        listed[-4:] = shape[0] - 1
        args |= {f"w{k}": engine.array(weight), f"g{k}": gradient(engine, data, listed, shape)}
        if k != 3:
            states[f"h{k}"] = engine.array(np.ones((shape[0], 1), np.float32))
    executor = engine.bind(nodes, args, states)
    executor.forward()
    executor.forward(g0=gradient(engine, normal(7, (50, 5)), np.arange(50) % 40, (40, 5)))
    return [args[f"w{k}"] for k in range(4)] + [*states.values()]


def standard(engine: Engine) -> list[Any]:
    """All rows are updated; the rows of the gradient are others at the second step."""
    w, g = sym.var("w"), sym.var("g")
    node = sym.sgd_update(w, g, lr=0.1, wd=0.1, lazy_update=False, out=w)
    rng = np.random.default_rng(3)
    given = [gradient(engine, normal(k, (60, 7)), rng.integers(0, 40, 60), (40, 7)) for k in range(2)]
    given[1].indices[:] = given[0].indices[0]
    args = {"w": engine.array(normal(9, (40, 7))), "g": given[0]}
    executor = engine.bind(node, args)
    executor.forward()
    executor.forward(g=given[1])
    return [args["w"]]


def gradient(
    engine: Engine, data: np.ndarray, indices: Any, shape: tuple[int, int], promised: bool = False
) -> RowSparseArray:
    listed = engine.array(np.asarray(indices, np.int64))
    return RowSparseArray(engine.array(data), listed, shape, canonical=promised)


WRONG = [  # indices of the first and of the second gradient; whether ascending was promised of the second; the fault
    ([1, 0, 5], [0, 3, 4], False, ""),
    ([1, 0, 2], [0, -1, 4], False, "'f' [1] = -1"),
    ([1, 0, 2], [0, 6, 9], False, "'f' [1] = 6"),
    ([1, 0, 2], [5, 2**40, 1], False, "'f' [1] = 1099511627776"),
    ([1, -7, 9], [0, 9, -1], False, "'g' [1] = -7"),
    ([1, 0, 2], [0, 3, 3], True, "'f' [2] = 3"),
    ([1, 0, 2], [3, 4, 2], True, "'f' [2] = 2"),
]


def refused(engine: Engine) -> list[Any]:
    """A wrong index among right ones: nothing of that step is written, numbers go back, and the error says where."""
    found = []
    for first, second, promised, fault in WRONG:
        w, v, g, f, a, b = (sym.var(name) for name in ("w", "v", "g", "f", "a", "b"))
        t = sym.var("t", shape=())
        nodes = [
            sym.sgd_update(w, g, lr=0.1, out=w),
            sym.sgd_update(v, f, lr=0.1, wd=0.1, lazy_update=False, out=v),
            sym._plus_scalar(t, scalar=1, out=t),
            *entangled(a, b),
        ]
        args: dict[str, Any] = {name: engine.array(normal(k, (6, 3))) for k, name in enumerate("wvab")}
        for k, name in enumerate("gf"):
            args[name] = gradient(engine, normal(k, (3, 3)), [0, 2, 3], (6, 3), promised and name == "f")
        args["t"] = np.array(1.0)
        executor = engine.bind(nodes, args)
        executor.forward()
        for name, indices in (("g", first), ("f", second)):
            args[name].indices[:] = indices
        args["a"] *= 2  # so that copies of what was computed before show
        said = fault_of_next_steps(executor) if engine.device or not fault else fault
        found += [said, *(args[name] for name in "wvabt")]
    return found


def fault_of_next_steps(executor: Any) -> str:
    """Which index is found wrong, if any, at the latest by the second step."""
    try:
        executor.forward()
        executor.forward()
    except RowIndexError as error:
        words = re.search(r"('\w').*indices(\[\d+\] = -?\d+)", str(error))
        return " ".join(words.groups()) if words else str(error)
    return ""
