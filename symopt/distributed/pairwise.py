"""Sums over ranks in a fixed order: pairs of neighbours, then pairs of those, by rank and never by arrival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..dtypes import COMPUTE, to_numpy
from ..errors import AttributeValueError

CHUNK = 1 << 15  # elements: what is added together stays in the cache


def tree_sum(grads: Sequence[Mapping[str, Any]], wire: str | None = None) -> dict[str, Any]:
    """The sum of the gradients of ranks 0, 1, ..., by name, as ShardedOptimizer makes it: ((0 + 1) + (2 + 3)) + 4.

    16-bit numbers are added in float32 and the sum is rounded once. None is the gradient of a rank that has none, and
    counts for nothing. `wire`: round each to this dtype before, "float16" or "bfloat16", as they are sent.

    >>> import numpy as np
    >>> tree_sum([{"w": np.array([x])} for x in (1e16, 1.0, -1e16)])
    {'w': array([0.])}
    """
    if not grads:
        raise AttributeValueError("tree_sum: there is no rank")
    return {name: _summed([rank[name] for rank in grads], wire) for name in grads[0]}


def _summed(leaves: Sequence[Any], wire: str | None) -> Any:
    own = next((x for x in leaves if x is not None), None)
    if own is None:
        return None
    sent = [None if x is None else for_wire(x, wire).reshape(-1) for x in leaves]
    out = np.empty(own.shape, own.dtype)
    add_up(sent, out.reshape(-1))
    return out


def for_wire(x: Any, wire: str | None) -> Any:
    """An array as it is sent: rounded to `wire`, if that is narrower."""
    dtype = None if wire is None else to_numpy(wire)
    return x if dtype is None or dtype.itemsize >= x.dtype.itemsize else x.astype(dtype)


def add_up(leaves: Sequence[Any], out: Any) -> None:
    """Write the sum of flat arrays (n,), some of them None, into `out` (n,), in the compute dtype of `out`."""
    wide = to_numpy(COMPUTE[out.dtype.name])
    for start in range(0, out.size, CHUNK):
        stop = min(start + CHUNK, out.size)
        level = [None if x is None else x[start:stop].astype(wide, copy=False) for x in leaves]
        while len(level) > 1:
            level = [_pair(*level[k : k + 2]) for k in range(0, len(level), 2)]
        out[start:stop] = level[0]


def _pair(a: Any, b: Any = None) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return np.add(a, b)
