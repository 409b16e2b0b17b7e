"""What the next step would do to each weight: norms, ratios, what is clipped, what stays as it is. Nothing is changed.

The definition of the ops is run block by block on the arrays as they are: slower than a step, in memory of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..backends.interpret import interpret
from ..errors import Where
from ..expr import PICK, Node
from ..forms import op_of
from ..passes.calls import size_of
from ..passes.ir import LIBRARY, Call, Value
from ..step import Step
from .clips import Clipped
from .reach import Reach, reader_of, window_of
from .state import now
from .tables import text_of

BLOCK = 1 << 16  # elements that are computed at once
Makers = dict[int, tuple[Call, int]]  # by id(value): the call that makes it, and the number of the output


@dataclass(frozen=True)
class UpdateStatistics:
    """What a step would do to one weight.

    `update_norm`, `weight_norm`: square roots of the sums of squares, of the new weight less the old one and of the
    old one; `ratio` is one by the other, nan if both are zero. `largest`: the largest |update|, at `largest_at`; nan at
    the first place that is not finite, if there is one. `zero_share`, `nonfinite_share`: of all elements, those whose
    update is exactly 0, and those that would be nan or inf. `clipped`: by the name of the bound in the formula, the
    share of elements that it cuts, of the rows that have a gradient. `rows`, `dead_rows`: how many there are, and how
    many of them would stay as they are, None for a weight that is no table; `listed_rows`: how many a sparse gradient
    has, None if it is dense.
    """

    node: str
    op: str
    weight: str
    shape: tuple[int, ...]
    dtype: str
    update_norm: float
    weight_norm: float
    ratio: float
    largest: float
    largest_at: tuple[int, ...] | None
    zero_share: float
    nonfinite_share: float
    clipped: dict[str, float] = field(default_factory=dict)
    rows: int | None = None
    dead_rows: int | None = None
    listed_rows: int | None = None
    where: Where | None = None


@dataclass(frozen=True)
class StepStatistics(Sequence[UpdateStatistics]):
    """One for each weight that an update op changes, in the order of the graph. Prints as a table."""

    updates: tuple[UpdateStatistics, ...]

    def __len__(self) -> int:
        return len(self.updates)

    def __getitem__(self, k: Any) -> Any:
        return self.updates[k]

    def __iter__(self) -> Iterator[UpdateStatistics]:
        return iter(self.updates)

    def of(self, weight: str) -> UpdateStatistics:
        """The statistics of a weight, by its name or that of its node. KeyError if there are none."""
        found = [u for u in self.updates if weight in (u.weight, u.node)]
        if not found:
            raise KeyError(weight)
        return found[0]

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """By the name of the weight, what each field is, as JSON has it."""
        return {u.weight: {**asdict(u), "where": str(u.where) if u.where else None} for u in self.updates}

    def table(self, most: int = 40) -> str:
        """The first `most` as lines of text."""
        return text_of(self.updates, most)

    def __str__(self) -> str:
        return self.table()


def statistics(step: Step) -> StepStatistics:
    """What `forward` would do now. Waits for the steps before."""
    state = now(step)
    reach = Reach(step.program, state, _never)
    makers = {id(v): (call, k) for call in step.program.lowered.calls for k, v in enumerate(call.outputs)}
    found = []
    with np.errstate(all="ignore"):
        for node, old, new in _updates(step):
            found.append(_of(node, old, new, makers, reach))
    return StepStatistics(tuple(found))


def _of(node: Node, old: Value, new: Value, makers: Makers, reach: Reach) -> UpdateStatistics:
    """The statistics of one weight."""
    call, k = makers[id(new)]
    sums, clips = _Sums(new.shape), _Clips(node, call, makers, reach)
    for start, stop in _stretches(new.shape):
        before = reach.read(old, start, stop, None)
        after = clips.read(call, k, start, stop)
        sums.add(start, before, after, op_of(node).gives == "weight")
        reach.forget()
    sparse = [v.variable for c in clips.calls for v in c.inputs if v.sparse and v.variable is not None]
    listed = reach.state.rows(sparse[0]) if sparse else None
    return sums.result(node, old, new, clips.shares(), listed)


def _never(call: Call, k: int, focus: int) -> Any:
    raise AssertionError("no element is asked for")


def _updates(step: Step) -> Iterator[tuple[Node, Value, Value]]:
    """Each weight that an update op changes: the node, the weight before and after."""
    values = step.program.lowered.values
    for node in step.types.order:
        if node.is_variable or node.op == PICK or step.types.is_host(node) or not op_of(node).is_update:
            continue
        op = op_of(node)
        inputs = [_value_of(x, values) for x in node.inputs]
        for k in range(op.n_results):
            yield node, inputs[op.like[k]], values[id(node)][k]


def _value_of(node: Node, values: dict[int, tuple[Value, ...]]) -> Value:
    return values[id(node.inputs[0])][node.attrs["index"]] if node.op == PICK else values[id(node)][0]


def _stretches(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """An array flat, cut into whole rows or into parts of one row."""
    size, width = size_of(shape), max(size_of(shape[1:]), 1)
    if not size:
        return
    if width > BLOCK:
        for row in range(0, size, width):
            for start in range(row, row + width, BLOCK):
                yield start, min(start + BLOCK, row + width)
        return
    step = BLOCK // width * width
    for start in range(0, size, step):
        yield start, min(start + step, size)


class _Clips:
    """Counts what the calls of a node clip: in its last call block by block, in earlier ones all at once."""

    def __init__(self, node: Node, last: Call, makers: Makers, reach: Reach) -> None:
        self.reach = reach
        self.calls = _cone(node, last, makers)
        self.of_last = Clipped(last)
        self.earlier = [
            Clipped(call) for call in self.calls if call is not last and call.body.mode != LIBRARY
        ]
        for counts in self.earlier:
            if counts.clips:
                self._run(counts, 0, 0, size_of(counts.call.outputs[0].shape))

    def read(self, call: Call, k: int, start: int, stop: int) -> Any:
        """A stretch of an output of the last call."""
        if not self.of_last.clips:
            return self.reach.read(call.outputs[k], start, stop, None)
        return self._run(self.of_last, k, start, stop)

    def _run(self, counts: Clipped, k: int, start: int, stop: int) -> Any:
        call = counts.call
        extent, window = call.body.outputs[k].extent, window_of(call, k, start, stop)
        reader = reader_of(self.reach, extent, window)
        (made,) = interpret(call, window, reader, [k], counts.watch)
        sparse = call.body.sparse
        rows = np.unique(reader.entries(call.inputs[sparse], window)[0]) if sparse >= 0 else None
        counts.take(window.shape, rows)
        skipped = start - window.rows.start * window.width - window.columns.start
        return made.reshape(-1)[max(skipped, 0) :][: stop - start]

    def shares(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for counts in (*self.earlier, self.of_last):
            for name, seen in counts.seen.items():
                found[name] = counts.cut[name] / seen if seen else 0.0
        return found


def _cone(node: Node, last: Call, makers: Makers) -> list[Call]:
    """The calls of a node that its last one depends on, and itself."""
    found: dict[int, Call] = {}
    waiting = [last]
    while waiting:
        call = waiting.pop()
        if id(call) not in found:
            found[id(call)] = call
            before = [makers[id(v)][0] for v in call.inputs if id(v) in makers]
            waiting += [each for each in before if each.node is node]
    return list(found.values())


class _Sums:
    """Of the stretches of one weight."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.squares = self.weights = 0.0
        self.zeros = self.bad = 0
        self.largest = 0.0
        self.largest_at: int | None = None
        self.first_bad: int | None = None
        self.width = max(size_of(shape[1:]), 1)
        self.alive = np.zeros(shape[0] if len(shape) > 1 else 0, bool)

    def add(self, start: int, before: Any, after: Any, is_weight: bool) -> None:
        """Take a stretch from element `start` on. `is_weight`: `after` is the new weight, else the update itself."""
        wide = np.complex128 if after.dtype.kind == "c" else np.float64
        with np.errstate(all="ignore"):
            old, new = before.astype(wide), after.astype(wide)
            update = np.abs(new - old if is_weight else new)
            self.squares += float(np.square(update).sum())
            self.weights += float(np.square(np.abs(old)).sum())
        finite = np.isfinite(update)
        self.zeros += int(np.count_nonzero(update == 0))
        self.bad += int(np.count_nonzero(~np.isfinite(new)))
        if not finite.all() and self.first_bad is None:
            self.first_bad = start + int((~finite).argmax())
        at = int(np.where(finite, update, -1).argmax())
        if finite[at] and (self.largest_at is None or update[at] > self.largest):
            self.largest, self.largest_at = float(update[at]), start + at
        if self.alive.size:
            first = start // self.width
            moved = (update != 0).reshape(-1, min(self.width, len(update))).any(1)
            self.alive[first : first + len(moved)] |= moved

    def result(
        self, node: Node, old: Value, new: Value, clipped: dict[str, float], listed: int | None
    ) -> UpdateStatistics:
        size = max(size_of(self.shape), 1)
        update, weight = math.sqrt(self.squares), math.sqrt(self.weights)
        flat = self.largest_at if self.first_bad is None else self.first_bad
        at = None if flat is None else tuple(int(k) for k in np.unravel_index(flat, self.shape))
        is_table = len(self.shape) > 1
        return UpdateStatistics(
            node=node.name,
            op=node.op,
            weight=old.variable or old.name,
            shape=self.shape,
            dtype=new.dtype,
            update_norm=update,
            weight_norm=weight,
            ratio=update / weight if weight else math.inf if update else math.nan,
            largest=self.largest if self.first_bad is None else math.nan,
            largest_at=at,
            zero_share=self.zeros / size,
            nonfinite_share=self.bad / size,
            clipped=clipped,
            rows=self.shape[0] if is_table else None,
            dead_rows=int(np.count_nonzero(~self.alive)) if is_table else None,
            listed_rows=listed,
            where=node.where,
        )
