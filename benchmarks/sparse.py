"""Lazy Adam on a large table of which a step touches few rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from dense import BETA1, BETA2, EPSILON, LR
from harness import OURS, Row, Work, measure, torch_or_none

import symopt as so
from symopt import sym


def lazy(quick: bool) -> Iterable[Row]:
    """1M x 64, 20,000 rows touched: torch SparseAdam, NumPy indexing; the same indices in random order."""
    rows, cols, touched = (100_000, 64, 2_000) if quick else (1_000_000, 64, 20_000)
    rng = np.random.default_rng(0)
    w, m, v = (rng.random((rows, cols), np.float32) for _ in range(3))
    indices = np.sort(rng.choice(rows, touched, replace=False))
    data = rng.random((touched, cols), np.float32)
    shuffled = rng.permutation(touched)
    work: dict[str, Work] = {OURS: _executor(w, m, v, data, indices).forward}
    work["symopt, unsorted"] = _executor(w, m, v, data[shuffled], indices[shuffled]).forward
    torch = torch_or_none(so.num_threads())
    if torch:
        work["torch SparseAdam"] = _torch(torch, w, data, indices)
    work["numpy indexing"] = _numpy(w.copy(), m.copy(), v.copy(), data, indices)
    seconds = measure(work, 31)
    unsorted = seconds.pop("symopt, unsorted")
    job = f"lazy adam, {rows:,} x {cols}, {touched:,}"
    yield Row(job, seconds, {"torch SparseAdam": 8.0, "numpy indexing": 9.0})
    yield Row(f"{job} unsorted", {OURS: unsorted}, limit=1.5 * seconds[OURS])


def _executor(w: np.ndarray, m: np.ndarray, v: np.ndarray, data: np.ndarray, indices: np.ndarray) -> Any:
    weight = sym.var("w")
    grad = so.sparse.row_sparse_array((data, indices), shape=w.shape)
    update = sym.adam_update(weight, sym.var("g"), sym.var("m"), sym.var("v"), lr=LR, out=weight)
    return update.bind(so.cpu(), args={"w": w, "g": grad}, aux_states={"m": m, "v": v})


def _torch(torch: Any, w: np.ndarray, data: np.ndarray, indices: np.ndarray) -> Work:
    parameter = torch.nn.Parameter(torch.from_numpy(w.copy()))
    parameter.grad = torch.sparse_coo_tensor(
        indices[None], torch.from_numpy(data), w.shape, is_coalesced=True, check_invariants=False
    )
    step: Work = torch.optim.SparseAdam([parameter], lr=LR).step
    return step


def _numpy(w: np.ndarray, m: np.ndarray, v: np.ndarray, g: np.ndarray, rows: np.ndarray) -> Work:
    def step() -> None:
        mean = BETA1 * m[rows] + (1 - BETA1) * g
        var = BETA2 * v[rows] + (1 - BETA2) * g * g
        m[rows], v[rows] = mean, var
        w[rows] -= LR * mean / (np.sqrt(var) + EPSILON)

    return step
