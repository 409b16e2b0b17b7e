"""Parameters, gradients and comparisons for tests of ShardedOptimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from test_compile import RULES, required

import symopt as so
from symopt.distributed import ShardedOptimizer, tree_sum
from symopt.training.update import find_op

Shapes = Mapping[str, tuple[int, ...]]
MATRICES: Shapes = {"a": (37, 5), "b": (41, 3)}
ODD: Shapes = {
    "tiny.0": (1,), "huge": (257, 91), "tiny.1": (3, 2), "empty": (0, 4), "vector": (1001,), "cube": (5, 3, 7),
    "tiny.2": (2,),
}  # fmt: skip

__all__ = ["RULES", "needed"]


def needed(rule: str) -> dict[str, Any]:
    return required(find_op(rule))


def dtype_of(name: str) -> Any:
    return __import__("ml_dtypes").bfloat16 if name == "bfloat16" else np.dtype(name)


def arrays(seed: int, shapes: Shapes = ODD, dtype: str = "float32") -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape).astype(dtype_of(dtype)) for name, shape in shapes.items()}


def ranks(seed: int, n: int, shapes: Shapes = ODD, dtype: str = "float32") -> list[dict[str, Any]]:
    return [arrays(1000 * seed + r, shapes, dtype) for r in range(n)]


def same_bits(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    assert set(left) == set(right)
    for name, x in left.items():
        y = right[name]
        assert x.dtype == y.dtype and x.shape == y.shape, name
        assert x.tobytes() == y.tobytes(), name


def same_state(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """That two states of steps are equal in all but how they say hyper-parameters."""
    assert {**left, "parameters": 0} == {**right, "parameters": 0}
    for name, mine in left["parameters"].items():
        theirs = right["parameters"][name]
        same_bits(mine["states"], theirs["states"])
        assert {**mine, "states": 0} == {**theirs, "states": 0}


def both(
    transport: Any,
    rule: str,
    shapes: Shapes,
    n_owners: int | None,
    n_ranks: int,
    dtype: str = "float32",
    **options: Any,
) -> tuple[ShardedOptimizer, Any, dict[str, Any], dict[str, Any]]:
    """An optimizer on owners and a step of one process, and the parameters of each."""
    wire = options.pop("wire", None)
    params, single = arrays(7, shapes, dtype), arrays(7, shapes, dtype)
    whole = so.compile(rule, single, **options)
    made = ShardedOptimizer(transport, params, rule, n_owners=n_owners, n_ranks=n_ranks, wire=wire, **options)
    return made, whole, params, single


def step(
    optimizer: ShardedOptimizer, whole: Any, grads: list[dict[str, Any]], wire: str | None = None
) -> None:
    """One step of both."""
    given = grads if optimizer.n_ranks > 1 else grads[0]
    assert optimizer.step(given) == whole(tree_sum(grads, wire))
