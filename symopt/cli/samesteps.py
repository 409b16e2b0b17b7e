"""A few steps that must come out alike on every engine, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import sym
from ..context import gpu
from ..dtypes import to_numpy
from ..sparse import RowSparseArray
from ..symbol import Symbol


def tried_graph(dtype: str) -> Symbol:
    """Dense Adam with its gradient scaled by the norm of all, and rows of a table updated lazily."""
    w, g, m, v, e, h = (sym.var(name, dtype=dtype) for name in "wgmveh")
    rows = sym.var("rows", dtype=dtype, stype="row_sparse")
    scale = 1.0 / sym.maximum(sym.sqrt(sym.sum(sym.multi_sum_sq(g))), 1.0)
    dense = sym.adam_update(w, g, m, v, lr=0.1, rescale_grad=scale, out=w)
    return sym.Group([dense, sym.group_adagrad_update(e, rows, h, lr=0.1, out=e)])


def differing(engine: str, dtype: str = "float32") -> list[str]:
    """The variables that three steps on an engine, or "gpu", leave in another state than on the reference engine."""
    found, wanted = (after_steps(which, dtype) for which in (engine, "reference"))
    return [name for name, array in wanted.items() if array.tobytes() != found[name].tobytes()]


def after_steps(engine: str, dtype: str) -> dict[str, Any]:
    """The variables after three steps, as arrays of the host."""
    rng = np.random.default_rng(0)

    def made(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(to_numpy(dtype))

    args: dict[str, Any] = {"w": made(70_000), "g": made(70_000), "e": made(9, 33)}
    args["rows"] = RowSparseArray(made(3, 33), np.array([7, 0, 7]), (9, 33))
    states = {"m": abs(made(70_000)), "v": abs(made(70_000)), "h": abs(made(9, 1))}
    on_host = "native" if engine == "gpu" else engine
    executor = tried_graph(dtype).bind(args=args, aux_states=states, engine=on_host)
    if engine == "gpu":
        executor = executor.as_in_context(gpu(0))
    for _ in range(3):
        executor.forward()
    executor.synchronize()
    found = {**executor.arg_dict, **executor.aux_dict}
    found = {name: found[name] for name in "wemvh"}
    return {name: x.get() if engine == "gpu" else x for name, x in found.items()}
