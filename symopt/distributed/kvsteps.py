"""The updates of one key by an optimizer, as rule and numbers: what its Updater would do, said as plain data."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..dtypes import NARROW, to_numpy
from ..errors import RuleError, StateError
from ..opdef import OpDef
from ..optimizer import Optimizer
from ..optimizer.cohort import Cohort, share
from ..optimizer.multipliers import multipliers
from ..optimizer.plan import named_states
from ..sparse import RowSparseArray
from ..training.update import Update, count_of, find_op, new_states


class Asked(NamedTuple):
    """What an optimizer says of the next update of a key: the rule and its attributes; which update it is, from 1; and
    the number that its scheduler was asked with."""

    rule: Any
    attrs: Mapping[str, Any]
    t: int
    num_update: int


class Steps:
    """The updates of key `index` by `optimizer`, one after the other.

    `op`: that of the rule; `count`: its attribute that is the number of the step, or "". `given`: its attributes,
    numbers as functions that give what the update has that began last. RuleError if the optimizer does otherwise than
    a rule says."""

    def __init__(
        self, optimizer: Optimizer, index: Any, shape: tuple[int, ...], dtype: str, sparse: bool
    ) -> None:
        chosen = type(optimizer).fused_step if optimizer.use_fused_step else type(optimizer).step
        if chosen not in (Optimizer.fused_step, Optimizer.step):
            raise RuleError(f"{type(optimizer).__name__} has a step of its own")
        self._optimizer, self._index = optimizer, index
        self._kind = _checked_kind(optimizer, index, shape, dtype, sparse)
        self._cohort = Cohort([0])
        first = self.ask()
        self._cohort.take(first.rule, first.attrs)
        share([self._cohort])
        self.op: OpDef = self._cohort.update().op
        self.count = count_of(self.op)
        self._numbers: dict[str, float] = {}

    def ask(self) -> Asked:
        """What the optimizer says of the next update. Counts nothing."""
        return _ask(self._optimizer, self._index, self._kind)

    def fits(self, asked: Asked) -> bool:
        """Whether it is an update by the same op with the same flags; else there must be other Steps."""
        return self._cohort.is_same(asked.rule, asked.attrs)

    def op_of(self, asked: Asked) -> OpDef:
        """The op that is asked for."""
        return find_op(asked.rule)

    def begin(self, asked: Asked) -> int:
        """Let `given` give the numbers of this update; the step that the rule begins after."""
        names = self._cohort.variables
        self._numbers.update({n: float(asked.attrs[n]) for n in names})
        return int(asked.attrs[self.count] if self.count else asked.t) - 1

    def end(self, asked: Asked) -> None:
        """It is done: count it."""
        self.resume(asked.t)
        self._optimizer.num_update = max(self._optimizer.num_update, asked.num_update)

    def resume(self, t: int) -> None:
        """So many updates are done."""
        self._optimizer._index_update_count[self._index] = t
        self._optimizer.num_update = max(self._optimizer.num_update, t)

    @property
    def engine(self) -> str:
        """What the optimizer asks for."""
        return str(self._optimizer.engine)

    @property
    def update(self) -> Update:
        """The op with its flags."""
        return Update(self.op, self.flags)

    @property
    def flags(self) -> dict[str, Any]:
        """Attributes that are no numbers."""
        attrs = self._cohort.update().attrs
        return {n: v for n, v in attrs.items() if n not in self._cohort.variables}

    @property
    def given(self) -> dict[str, Any]:
        """Attributes: flags, and functions of the step that give numbers."""
        numbers = {n: _number(self._numbers, n) for n in self._cohort.variables if n != self.count}
        return {**self.flags, **numbers}

    @property
    def is_lazy(self) -> bool:
        """Whether row_sparse gradients touch only the rows that they list."""
        return bool(self.flags.get("lazy_update", self.op.attrs["lazy_update"].default))


def _ask(optimizer: Optimizer, index: Any, kind: Hashable) -> Asked:
    t = optimizer._index_update_count.get(index, optimizer.begin_num_update) + 1
    num_update = max(optimizer.num_update, t)
    schedule = optimizer.lr_scheduler
    lr: float = optimizer.lr if schedule is None else schedule(num_update)
    (lr_mult,), (wd_mult,) = multipliers(optimizer, [index])
    rule, attrs = optimizer.rule(lr * lr_mult, optimizer.wd * wd_mult, t, kind)
    return Asked(rule, attrs, t, num_update)


def _checked_kind(
    optimizer: Optimizer, index: Any, shape: tuple[int, ...], dtype: str, sparse: bool
) -> Hashable:
    """The kind of a key. RuleError if its states are not those that the rule's op begins with."""
    small = np.zeros((1,) * len(shape), to_numpy(dtype))
    weight: Any = RowSparseArray(small, np.zeros(1, np.int64), small.shape) if sparse else small
    if dtype in NARROW and not optimizer.multi_precision:
        raise RuleError(f"{type(optimizer).__name__} accumulates in 16 bits")
    state = optimizer.create_state_multi_precision(index, weight)
    inner = state[1] if dtype in NARROW else state
    kind = optimizer.kind(index, weight, inner)
    asked = _ask(optimizer, index, kind)
    cohort = Cohort([0])
    cohort.take(asked.rule, asked.attrs)
    share([cohort])
    update = cohort.update()
    wide = small.astype(np.float32) if dtype in NARROW else small
    try:
        found = named_states(update.op, optimizer.arrays_in(inner), inner, None, str(index))
    except StateError as error:
        raise RuleError(f"{type(optimizer).__name__} keeps states of its own: {error}") from None
    wanted = new_states(update, wide)
    if not all(np.array_equal(found[n], x) and found[n].dtype == x.dtype for n, x in wanted.items()):
        raise RuleError(f"{type(optimizer).__name__} begins with states of its own")
    return kind


def _number(numbers: Mapping[str, float], name: str) -> Callable[[int], float]:
    def number(done: int) -> float:
        return numbers[name]

    return number
