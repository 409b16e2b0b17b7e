"""Where a formula clips, found in its primitives, and how many elements it cuts."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..build import is_number, kernel_inputs
from ..expr import Node, toposort
from ..passes.ir import DENSE, REDUCE, Body, Call
from ..prims import CAST


class Clip(NamedTuple):
    """`node` is x between -bound and bound. `name`: of the attribute that is the bound, or "bound"."""

    node: Node
    x: Node
    bound: Node
    name: str


@cache
def clips_of(body: Body) -> list[Clip]:
    """The clips in a traced formula: what `lang.clip` becomes, whoever wrote it."""
    found = []
    for node in toposort(body.roots, kernel_inputs):
        clip = _clip(node)
        if clip is not None:
            found.append(clip)
    return found


def _clip(node: Node) -> Clip | None:
    """where(c < x, c, where(x < -c, -c, x))"""
    if node.op != "where":
        return None
    above, bound, inner = node.inputs
    if inner.op != "where" or not is_number(bound):
        return None
    below, lower, x = inner.inputs
    if above.op != "lt" or above.inputs != (bound, x) or below.op != "lt" or below.inputs != (x, lower):
        return None
    if not _is_negative_of(lower, bound):
        return None
    return Clip(node, x, bound, _name(bound))


def _is_negative_of(lower: Node, bound: Node) -> bool:
    """Whether a number is another with the sign turned; both may be rounded to the dtype of the computation."""
    a, b = (x.inputs[0] if x.op == CAST else x for x in (lower, bound))
    return a.op == "neg" and (a.inputs[0] is b or a.inputs[0] is bound)


def _name(bound: Node) -> str:
    leaf = bound.inputs[0] if bound.op == CAST else bound
    return str(leaf.attrs["name"]) if leaf.op == "scalar" else "bound"


class Clipped:
    """Counts, over the windows of one call, by the name of the bound: elements that there were, and that were cut."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.clips = clips_of(call.body)
        self.seen: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self._values: dict[int, Any] = {}
        self._wanted = {id(n) for clip in self.clips for n in (clip.node, clip.x, clip.bound)}

    def watch(self, node: Node, value: Any) -> None:
        """Sees the primitives of a window."""
        if id(node) in self._wanted:
            self._values[id(node)] = value

    def take(self, shape: tuple[int, int], rows: Any) -> None:
        """Count a window of that shape. `rows`: of those that a sparse gradient has in it."""
        for clip in self.clips:
            if id(clip.node) not in self._values or not float(self._values[id(clip.bound)]) >= 0:
                continue  # switched off
            x, y = (np.asarray(self._values[id(n)]) for n in (clip.x, clip.node))
            if self.call.body.mode in (DENSE, REDUCE):
                x, y = (np.broadcast_to(v, shape) for v in (x, y))
            elif x.ndim == 2 and len(x) == shape[0] != len(rows):
                x, y = x[rows], y[rows]  # all rows are computed: the others have no gradient
            self.seen[clip.name] += x.size
            self.cut[clip.name] += int(np.count_nonzero((x != y) & (x == x)))
        self._values.clear()
