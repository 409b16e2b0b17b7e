"""Step functions with gradients of dense parameters, which processes import; and what one process makes of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sharded_cases as cases

import symopt as so
from symopt.distributed import ShardedOptimizer, ShardedTable, Workers, tree_sum

STEPS = 6


def gradients(
    step: int, rank: int, weights: Mapping[str, Any], *, dtype: str | None = None, nan_at: int = 0
) -> dict[str, Any] | None:
    """Of weights, to the last bit. `nan_at`: a step with a number that is not finite. Some ranks have none in some
    steps, or none of a parameter."""
    if (step, rank) == (3, 1):
        return None
    rng = np.random.default_rng([step, rank])
    of = {n: cases.dtype_of(dtype) if dtype else w.dtype for n, w in weights.items()}
    found = {n: (rng.standard_normal(w.shape) + w.astype("f4")).astype(of[n]) for n, w in weights.items()}
    if step == nan_at:
        found["vector"][-1] = np.nan
    return found | ({"cube": None} if (step + rank) % 2 else {})


def train(
    step: int, rank: int, ranks: int, *, kill: Sequence[str] = (), folder: str = "", **given: Any
) -> Any:
    """Gradients of "net"; `kill`: steps and ranks at which the process ends itself, once."""
    weights = (yield {"net": None})["net"]
    path = os.path.join(folder, f"{step}-{rank}")
    if f"{step}-{rank}" in kill and not os.path.exists(path):
        with open(path, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    found = gradients(step, rank, weights, **given)
    return {} if found is None else {"net": found}


def in_one_process(
    rule: str, ranks: int, dtype: str = "float32", wire: str | None = None, given: Any = None, **options: Any
) -> tuple[dict[str, Any], Any]:
    """Parameters after all steps, and the state of the step."""
    params = cases.arrays(7, dtype=dtype)
    step = so.compile(rule, params, **options)
    for t in range(1, STEPS + 1):
        every = [
            gradients(t, rank, params, **(given or {})) or dict.fromkeys(params) for rank in range(ranks)
        ]
        step(tree_sum(every, wire))
    return params, step.state_dict()


def made(
    cluster: Any,
    rule: str,
    ranks: int,
    dtype: str = "float32",
    given: Any = None,
    workers_given: Any = None,
    **options: Any,
) -> tuple[dict[str, Any], ShardedOptimizer, Workers]:
    """Parameters, their optimizer, and workers that train them."""
    params = cases.arrays(7, dtype=dtype)
    users = ShardedTable(cluster, so.embedding.Segment(2, "sgd", learning_rate=1.0), name="users")
    optimizer = ShardedOptimizer(cluster, params, rule, n_ranks=ranks, name="net", **options)
    step = "worker_dense:train"
    workers = Workers(
        cluster,
        step,
        [users],
        optimizers=[optimizer],
        ranks=ranks,
        given={**(given or {}), **(workers_given or {})},
    )
    return params, optimizer, workers


def same(params: Mapping[str, Any], optimizer: ShardedOptimizer, expected: Sequence[Any]) -> None:
    cases.same_bits(params, expected[0])
    cases.same_state(optimizer.state_dict(), expected[1])
