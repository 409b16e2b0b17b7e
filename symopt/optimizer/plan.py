"""One step of an optimizer for one list of parameters: bound once, run again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import sym
from ..arrays import Array
from ..dtypes import NARROW
from ..errors import AttributeValueError, StateError
from ..opdef import OpDef
from ..places import HOST, place_of_array
from ..sparse import RowSparseArray
from ..training.graph import Entry, arrays_of, group, in_place, stype_of, variable_name
from ..training.runner import Runner, Runners
from ..training.update import Update
from .cohort import Cohort, numbers_of, share
from .counts import UpdateCounts
from .multipliers import Facts, multipliers

if TYPE_CHECKING:
    from .optimizer import Optimizer

GRAPHS = 4  # of one list of parameters: dense and sparse gradients, a clip on and off


class Plan:
    """A list of parameters with their states, in cohorts, and the executors bound to them."""

    def __init__(
        self,
        optimizer: Optimizer,
        counts: UpdateCounts,
        indices: Sequence[Any],
        weights: Sequence[Any],
        states: Sequence[Any],
    ) -> None:
        self.optimizer = optimizer
        self.counts = counts
        self.indices = list(indices)
        self.weights = list(weights)
        self.states = list(states)
        self._lists = any(map(has_list, self.states))  # whose elements may be replaced
        self._leaves = leaves(self.states) if self._lists else []
        if len(set(self.indices)) < len(self.indices):
            twice = next(i for i in self.indices if self.indices.count(i) > 1)
            raise AttributeValueError(
                f"an update has parameter {twice!r} twice: each has one gradient in a step"
            )
        self.names = unique_names(optimizer, self.indices)
        self._cohorts: list[Cohort] = []
        self._epoch = -1
        self._facts = Facts(optimizer)
        self._grads: list[Any] = []
        self._types: list[type] = []
        self._runner: Runner | None = None
        self._runners = Runners(GRAPHS)
        self._drawn: dict[str, tuple[str, Array]] = {}

    def is_for(
        self, counts: UpdateCounts, indices: Sequence[Any], weights: Sequence[Any], states: Sequence[Any]
    ) -> bool:
        """Whether these are the parameters of this plan, the very same arrays in the same order."""
        return (
            counts is self.counts
            and len(weights) == len(states) == len(self.indices)
            and all(map(is_, weights, self.weights))
            and all(map(is_, states, self.states))
            and (not self._lists or all(map(is_, leaves(states), self._leaves)))
            and indices == self.indices
        )

    def run(self, grads: Sequence[Any]) -> None:
        """Update every parameter once. Nothing has changed when this raises."""
        optimizer = self.optimizer
        if self._epoch != self.counts.epoch or not self._facts.hold(optimizer):
            self._regroup()
        cohorts = self._cohorts
        num_update = max(optimizer.num_update, *[cohort.t + 1 for cohort in cohorts])
        schedule = optimizer.lr_scheduler
        lr, wd = optimizer.lr if schedule is None else schedule(num_update), optimizer.wd
        same = True
        for c in cohorts:
            rule, attrs = optimizer.rule(lr * c.lr_mult, wd * c.wd_mult, c.t + 1, c.kind)
            same = c.take(rule, attrs) and same
        numbers = numbers_of(cohorts)
        if not same or numbers is None:
            share(cohorts)
            numbers = numbers_of(cohorts) or {}
            self._runner = None
        runner = self._runner_for(grads, numbers)
        for name, array in self._drawn.values():
            draw(optimizer, name, array)
        runner.run(grads, numbers)
        self.counts.advance(self.indices)
        for c in cohorts:
            c.t += 1
        self._epoch = self.counts.epoch
        optimizer.num_update = num_update

    # ---- who shares numbers

    def _regroup(self) -> None:
        """Put parameters with equal multipliers, counts and kinds together."""
        optimizer = self.optimizer
        first = optimizer.begin_num_update
        for index in self.indices:
            self.counts.setdefault(index, first)
        counts = [self.counts[index] for index in self.indices]
        inner = [self._precision(k)[1] for k in range(len(self.indices))]
        kinds = map(optimizer.kind, self.indices, self.weights, inner)
        keys = list(zip(*multipliers(optimizer, self.indices), counts, kinds, strict=True))
        members: dict[Any, list[int]] = {}
        for position, key in enumerate(keys):
            members.setdefault(key, []).append(position)
        facts = Facts(optimizer)
        if [c.members for c in self._cohorts] != list(
            members.values()
        ) or facts.options != self._facts.options:
            self._cohorts = [Cohort(found) for found in members.values()]
            self._runners.clear()
            self._runner = None
        for c, key in zip(self._cohorts, members, strict=True):
            c.lr_mult, c.wd_mult, c.t, c.kind = key
        self._epoch = self.counts.epoch
        self._facts = facts

    # ---- binding

    def _runner_for(self, grads: Sequence[Any], numbers: Mapping[str, float]) -> Runner:
        runner = self._runner
        if runner is not None and all(map(is_, grads, self._grads)):
            return runner
        types = list(map(type, grads))
        if runner is None or types != self._types:
            flags = tuple((c.rule, tuple(c.variables.items()), _flags(c)) for c in self._cohorts)
            key = tuple(map(stype_of, grads)), flags
            runner = self._runners.get(key, lambda: self._bind(grads, numbers))
        self._runner, self._types, self._grads = runner, types, list(grads)
        return runner

    def _bind(self, grads: Sequence[Any], numbers: Mapping[str, float]) -> Runner:
        arrays: dict[str, Any] = {}
        given: dict[str, Any] = dict.fromkeys(variable_name(name, "grad") for name in self.names)
        outputs: dict[int, Any] = {}
        for cohort in self._cohorts:
            updates: dict[str, Update] = {}
            for k in cohort.members:
                prefix, inner, master = self._precision(k)
                update = updates.get(prefix) or updates.setdefault(prefix, cohort.update(prefix))
                name = self.names[k]
                arrays[name] = self.weights[k]
                arrays.update(
                    arrays_of(
                        name, named_states(update.op, self.optimizer.arrays_in(inner), inner, master, name)
                    )
                )
                update = self._with_draws(update, name, self.weights[k], arrays)
                entry = Entry(name, update, stype_of(grads[k]))
                given[variable_name(name, "grad")] = grads[k]
                outputs[k] = in_place(entry, entry.variable("grad"))
        symbol = group([o for k in sorted(outputs) for o in outputs[k]])
        ctx = place_of_array(self.weights[0]).context
        return Runner(symbol, arrays, given, numbers, ctx, self.optimizer.engine)

    def _precision(self, k: int) -> tuple[str, Any, Any]:
        """The form of the op for a parameter, its states without the float32 copy of its weight, and that copy."""
        state = self.states[k]
        if self.optimizer.multi_precision and dtype_of(self.weights[k]) in NARROW:
            if not isinstance(state, (tuple, list)) or len(state) != 2:
                raise StateError(
                    f"the state of {self.names[k]!r}, a weight of 16 bits with multi_precision=True, is "
                    f"(float32 copy, state); got {describe(state)}: make it with create_state_multi_precision"
                )
            return "mp_", state[1], state[0]
        return "", state, None

    def _with_draws(self, update: Update, name: str, weight: Any, arrays: dict[str, Any]) -> Update:
        """The update with arrays for those inputs that are drawn anew for every step."""
        extra = [i.name for i in update.op.inputs[2:] if i.kind == "tensor"]
        place = place_of_array(weight)
        scalars = dict(update.scalars)
        for kind in extra:
            variable = variable_name(name, kind)
            if variable not in self._drawn:
                view = place.view(plain(weight), "a weight")
                self._drawn[variable] = kind, place.zeros(view.shape, view.dtype)
            arrays[variable] = self._drawn[variable][1]
            scalars[kind] = sym.var(variable)
        return replace(update, scalars=scalars) if extra else update


def _flags(cohort: Cohort) -> tuple[Any, ...]:
    return tuple((n, v) for n, v in cohort.attrs.items() if n not in cohort.variables)


def plain(x: Any) -> Any:
    """The array of a row_sparse array that has every row; else x."""
    return x.data if isinstance(x, RowSparseArray) else x


def dtype_of(x: Any) -> str:
    """The name of an array's dtype."""
    return place_of_array(x).view(plain(x), "a weight").dtype.name


def leaves(state: Any) -> list[Any]:
    """The arrays of a state, which is None, an array, or a tuple or list of states."""
    if state is None:
        return []
    return [x for part in state for x in leaves(part)] if isinstance(state, (tuple, list)) else [state]


def named_states(op: OpDef, found: list[Any], state: Any, copy: Any, name: str) -> dict[str, Any]:
    """The arrays `found` in a state by the names that the op has for them. StateError if there are not as many.

    `copy`: the float32 copy of the weight, if the op has one.
    """
    master = op.inputs[op.master].name if op.master >= 0 else ""
    names = [s for s in op.states if s != master]
    if len(names) != len(found):
        wanted = f"{len(names)} arrays ({', '.join(names)})" if names else "none"
        raise StateError(
            f"{op.name} of {name!r} has as states {wanted}; got {describe(state)}: make it with create_state"
        )
    return dict(zip(names, found, strict=True)) | ({master: copy} if master else {})


def has_list(state: Any) -> bool:
    """Whether a state is a list, or has one in it."""
    return isinstance(state, list) or (isinstance(state, tuple) and any(map(has_list, state)))


def describe(state: Any) -> str:
    """What a state is, for errors."""
    if isinstance(state, (tuple, list)):
        return f"({', '.join(map(describe, state))})"
    return "None" if state is None else f"an array {getattr(state, 'shape', '')}".rstrip()


def unique_names(optimizer: Optimizer, indices: Sequence[Any]) -> list[str]:
    """What the graph calls parameters: by the optimizer's names, or their indices."""
    taken: set[str] = set()
    names = []
    for index in indices:
        name = str(optimizer.idx2name.get(index, index)).lstrip("@")
        if name in taken or not name:
            name = f"{name}#{len(taken)}"
        taken.add(name)
        names.append(name)
    return names


def draw(optimizer: Optimizer, name: str, array: Array) -> None:
    """Fill an array, wherever it lies, with what the optimizer draws on the host."""
    place = place_of_array(array)
    dtype = array.dtype if array.dtype.name in ("float32", "float64") else np.dtype(np.float32)
    drawn = optimizer.draw(name, array.shape, dtype)
    if place is HOST:
        array[...] = drawn
    else:
        place.upload(array, drawn.astype(array.dtype))
