"""What formulas shown to people are worth in numbers, so that they can be compared with what the engine makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from symopt.prims import COMBINE, PRIMS
from symopt.show.blocks import Block, label_of, target
from symopt.show.labels import text_of
from symopt.show.maths import plain_number
from symopt.show.terms import Term

Env = dict[str, Any]  # by the text of a name


def _rows(fold: Callable[..., Any]) -> Callable[[Any], Any]:
    """A fold over each row: all axes but the first."""
    return lambda x: fold(np.reshape(x, (len(x), -1)), axis=1).reshape(len(x), *(1 for _ in np.shape(x)[1:]))


def _extreme(name: str) -> Callable[..., Any]:
    """max or min: of two values, or over all elements."""
    return lambda *x: COMBINE[name](*x) if len(x) == 2 else getattr(np, name)(x[0])


def _columns(fold: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda x: fold(x, axis=-2, keepdims=True)


def _same(x: Any) -> Any:
    return x


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: prim.numpy for name, prim in PRIMS.items()},
    "square": np.square, "gt": np.greater, "ge": np.greater_equal, "sign": np.sign,
    "clip": lambda x, c: np.clip(x, -c, c), "max": _extreme("max"), "min": _extreme("min"),
    "sum": np.sum, "mean": np.mean, "norm": lambda x: np.sqrt(np.sum(np.square(x))),
    "row_sum": _rows(np.sum), "row_mean": _rows(np.mean), "row_max": _rows(np.max), "row_min": _rows(np.min),
    "row_norm": lambda x: np.sqrt(_rows(np.sum)(np.square(x))),
    "column_sum": _columns(np.sum), "column_mean": _columns(np.mean),
    "matrix_norm": lambda x: np.sqrt(np.sum(np.square(x), axis=(-1, -2), keepdims=True)),
    "matmul": np.matmul, "transpose": lambda x: np.swapaxes(x, -1, -2), "spread": _same,
    "is_finite": np.isfinite, "lerp": lambda x, y, w: x + w * (y - x),
    "rounded": _same, "float64": _same, "float32": lambda x: np.float64(np.float32(x)),
    "float16": lambda x: np.float64(np.float16(x)),
    "re": np.real, "im": np.imag,
}  # fmt: skip


OF_MATRICES: dict[str, Callable[..., Any]] = {
    "row_sum": lambda x: np.sum(x, axis=-1, keepdims=True),
    "row_mean": lambda x: np.mean(x, axis=-1, keepdims=True),
    "row_norm": lambda x: np.sqrt(np.sum(np.square(x), axis=-1, keepdims=True)),
}


def counts(shape: tuple[int, ...], is_matrix: bool = False) -> dict[str, Any]:
    """What formulas say of a tensor beside its elements: how many there are, and their number in the row."""
    row = shape[-1:] if is_matrix else shape[1:]
    return {
        "count()": float(np.prod(shape)),
        "row_count()": float(np.prod(row)),
        "column_count()": float(shape[-2]) if len(shape) > 1 else 1.0,
        "matrices()": float(np.prod(shape[:-2])),
        "column()": np.arange(int(np.prod(row)), dtype=float).reshape(row),
    }


def run(block: Block, env: Env, is_matrix: bool = False) -> Env:
    """The values of all lines of a block, by the text of their names; `env` has what they read. In formulas on matrices
    rows are the last axis."""
    functions = FUNCTIONS | (OF_MATRICES if is_matrix else {})
    known = dict(env)
    with np.errstate(all="ignore"):
        for line in block.lines:
            known[text_of(target(line, block.labels))] = _value(line.value, block, known, functions)
    return known


def _value(t: Term, block: Block, env: Env, functions: Mapping[str, Callable[..., Any]]) -> Any:
    if isinstance(t.value, float):
        return float(plain_number(t.value))  # as it is printed
    if t.value is not None:
        return env[text_of(label_of(t, block.labels))]
    if not t.args:
        return env[f"{t.op}()"]
    args = [_value(x, block, env, functions) for x in t.args]
    if t.op.startswith(("row_", "column_")):  # a number stands for as many as there are
        args = [np.full((1, env["column()"].size), x) if np.ndim(x) == 0 else x for x in args]
    if t.op == "uniform":
        index = np.arange(int(env["count()"])).reshape(-1, int(env["row_count()"]))
        seed, stream = np.float32(args[0]), np.float32(-1 - args[1])
        return PRIMS["noise"].numpy(index, seed, stream).astype(np.float64)
    return functions[t.op](*args)
