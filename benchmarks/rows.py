"""Group AdaGrad, one accumulator per row: a dense table, and a large one of which a step touches few rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from dense import LR
from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so
from symopt import sym
from symopt.lang import RowState, Tensor, Updated, updated

EPSILON = 1e-5


@so.update_op
def row_streams_update(weight: Tensor, grad: Tensor, history: RowState) -> Updated:
    """Reads and writes what group AdaGrad does, without looking along the row: the memory limit of the same kernel."""
    return updated(weight + grad, history=history + 1)


def group_adagrad(quick: bool) -> Iterable[Row]:
    """16M elements in rows of 64: the memory limit, lines of torch and of NumPy."""
    rows = (1 << (20 if quick else 24)) // 64
    rng = np.random.default_rng(0)
    w, g = (rng.random((rows, 64), np.float32) for _ in range(2))
    h = np.ones((rows, 1), np.float32)
    work: dict[str, Work] = {OURS: _executor("group_adagrad_update", w, g, h, lr=LR).forward}
    work["memory limit"] = _executor("row_streams_update", w.copy(), g.copy(), h.copy()).forward
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch lines"] = _torch(torch, w, g, h)
    work["numpy"] = _numpy(w.copy(), g, h.copy())
    seconds = measure(work, 7 if quick else 21)
    rate = 12 * w.size / seconds[OURS] / 1e9
    remark = f"{rate:.1f} GB/s of 12 bytes an element"
    yield Row(f"group adagrad, {rows:,} x 64", seconds, {"memory limit": 0.9}, remark=remark)


def lazy_group_adagrad(quick: bool) -> Iterable[Row]:
    """1M x 64, 20,000 rows touched: indexing in torch and in NumPy."""
    rows, cols, touched = (100_000, 64, 2_000) if quick else (1_000_000, 64, 20_000)
    rng = np.random.default_rng(0)
    w = rng.random((rows, cols), np.float32)
    h = np.ones((rows, 1), np.float32)
    indices = np.sort(rng.choice(rows, touched, replace=False))
    data = rng.random((touched, cols), np.float32)
    grad = so.sparse.row_sparse_array((data, indices), shape=w.shape)
    work: dict[str, Work] = {OURS: _executor("group_adagrad_update", w, grad, h, lr=LR).forward}
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch indexing"] = _torch_lazy(torch, w, data, h, indices)
    work["numpy indexing"] = _numpy_lazy(w.copy(), data, h.copy(), indices)
    yield Row(f"lazy group adagrad, {rows:,} x {cols}, {touched:,}", measure(work, 31))


def _executor(op: str, w: np.ndarray, g: Any, h: np.ndarray, **attrs: Any) -> Any:
    weight = sym.var("w")
    update = getattr(sym, op)(weight, sym.var("g"), sym.var("h"), out=weight, **attrs)
    return update.bind(so.cpu(), args={"w": w, "g": g}, aux_states={"h": h})


def _torch(torch: Any, *arrays: np.ndarray) -> Work:
    w, g, h = (torch.from_numpy(x.copy()) for x in arrays)

    def step() -> None:
        h.add_(g.square().mean(1, keepdim=True))
        w.addcdiv_(g, h.sqrt().add_(EPSILON), value=-LR)

    return step


def _numpy(w: np.ndarray, g: np.ndarray, h: np.ndarray) -> Work:
    def step() -> None:
        h[...] += np.mean(g * g, axis=1, keepdims=True)
        w[...] -= LR * g / (np.sqrt(h) + EPSILON)

    return step


def _torch_lazy(torch: Any, *arrays: np.ndarray) -> Work:
    w, g, h, rows = (torch.from_numpy(x.copy()) for x in arrays)

    def step() -> None:
        history = h.index_select(0, rows).add_(g.square().mean(1, keepdim=True))
        h.index_copy_(0, rows, history)
        w.index_add_(0, rows, g / history.sqrt_().add_(EPSILON), alpha=-LR)

    return step


def _numpy_lazy(w: np.ndarray, g: np.ndarray, h: np.ndarray, rows: np.ndarray) -> Work:
    def step() -> None:
        history = h[rows] + np.mean(g * g, axis=1, keepdims=True)
        h[rows] = history
        w[rows] -= LR * g / (np.sqrt(history) + EPSILON)

    return step
