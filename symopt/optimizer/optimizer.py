"""The base of MXNet's optimizer classes: who is updated with which rate, and one compiled step for all."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..dtypes import NARROW
from ..errors import AssertedTypeError, RuleError, ScheduledRateError, ShapeError, UnknownArgumentError
from ..lr_scheduler import LRScheduler
from ..places import place_of_array
from ..symbol import Symbol
from ..training.update import new_states
from .cohort import Cohort, share
from .counts import UpdateCounts
from .multipliers import multipliers, of_symbol
from .plan import Plan, dtype_of, leaves, plain
from .registry import OPTIMIZERS, create, register

PLANS = 16  # lists of several parameters that stay bound; single ones all do


class Optimizer:
    """Updates weights in place with gradients: the base class, whose subclasses give a `rule`.

    `rescale_grad`: factor on gradients. `param_idx2name`: names of parameters by index. `wd`: weight decay.
    `clip_gradient`: bound of the rescaled gradients; None, 0 or less: no clipping. `learning_rate`: per update; if
    None, that of `lr_scheduler`, or 0.01 without one; with both, the scheduler's `base_lr` is set to it.
    `sym`: a Symbol, whose arguments may have `lr_mult` and `wd_mult`. `begin_num_update`: what counts begin with.
    `multi_precision`: weights of 16 bits have a float32 copy that is updated. `param_dict`: objects by index with
    `lr_mult` and `wd_mult`, which come before all other multipliers. `aggregate_num` and `use_fused_step`
    are kept for MXNet's sake: `step` and `fused_step` do the same, and all parameters of a call are one step.

    `update` is safe to call from several threads: each call is a whole update.
    All attributes can be assigned at any time and count from the next update on. `engine`: as in `Symbol.bind`.
    AssertedTypeError (an AssertionError): param_idx2name is no dict. UnknownArgumentError (a TypeError): others.
    """

    opt_registry = OPTIMIZERS
    register = staticmethod(register)
    create_optimizer = staticmethod(create)

    def __init__(
        self,
        rescale_grad: float = 1.0,
        param_idx2name: dict[Any, str] | None = None,
        wd: float = 0.0,
        clip_gradient: float | None = None,
        learning_rate: float | None = None,
        lr_scheduler: LRScheduler | None = None,
        sym: Symbol | None = None,
        begin_num_update: int = 0,
        multi_precision: bool = False,
        param_dict: Mapping[Any, Any] | None = None,
        aggregate_num: float | None = None,
        use_fused_step: bool | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise UnknownArgumentError(
                f"{type(self).__name__} has no argument {', '.join(map(repr, kwargs))}"
            )
        if not isinstance(param_idx2name, (dict, type(None))):
            raise AssertedTypeError(
                f"param_idx2name must be a dict of names by index, got {param_idx2name!r}"
            )
        self.rescale_grad = rescale_grad
        self.lr_scheduler: Any = lr_scheduler
        self.lr: Any = 0.01 if learning_rate is None and lr_scheduler is None else learning_rate
        if lr_scheduler is not None and learning_rate is not None and lr_scheduler.base_lr != learning_rate:
            warnings.warn(f"base_lr of lr_scheduler is now the learning_rate {learning_rate}", stacklevel=3)
            lr_scheduler.base_lr = learning_rate
        self.wd = wd
        self.clip_gradient = clip_gradient
        self.begin_num_update = self.num_update = begin_num_update
        self._all_index_update_counts = {0: UpdateCounts()}
        self._index_update_count = self._all_index_update_counts[0]
        self.multi_precision = multi_precision
        self.aggregate_num = 1 if aggregate_num is None else aggregate_num
        self.use_fused_step = bool(use_fused_step)
        self.idx2name = dict(param_idx2name or {})
        self.sym_info: Any = (sym.attr_dict(), sym.list_arguments()) if sym is not None else ()
        self.param_dict = param_dict or {}
        self.engine = "auto"
        self._lock = threading.RLock()
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._last: Plan | None = None
        self.set_lr_mult({})
        self.set_wd_mult({})

    # ---- what a subclass says

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> tuple[Any, Mapping[str, Any]]:
        """The op of an update, by name or formula, and its attributes. What a subclass defines.

        `lr`, `wd`: of the parameter, multipliers included. `t`: which update of it this is, from 1. `kind`: as `kind`
        gives. Called once a step for all parameters that share these; numbers that change cost no compilation.
        """
        raise RuleError(f"{type(self).__name__} says no update: define rule(), or step() in NumPy")

    def usual(self, lr: float, wd: float) -> dict[str, Any]:
        """The attributes that most ops have: lr, wd, rescale_grad and clip_gradient."""
        clip = self.clip_gradient
        bound = clip if clip is not None and clip > 0 else -1.0
        return {"lr": lr, "wd": wd, "rescale_grad": self.rescale_grad, "clip_gradient": bound}

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        """What tells a parameter's rule from that of others, if something does. `state` is None before it has one."""
        return None

    def arrays_in(self, state: Any) -> list[Any]:
        """The arrays of a state that the op updates, in its order."""
        return leaves(state)

    def draw(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """Fresh values for an input of the op beside weight, gradient and states: called at every step, on the host."""
        raise RuleError(
            f"{type(self).__name__}: its op has an input {name!r}: define draw(name, shape, dtype)"
        )

    # ---- states

    def create_state(self, index: Any, weight: Any) -> Any:
        """The state of a weight: None, an array, or a tuple of them, as MXNet's class has it."""
        cohort = Cohort([0])
        rule, attrs = self.rule(1.0, 0.0, 1, self.kind(index, weight, None))
        cohort.take(rule, attrs)
        share([cohort])
        made = tuple(new_states(cohort.update(), plain(weight)).values())
        return made if len(made) > 1 else made[0] if made else None

    def create_state_multi_precision(self, index: Any, weight: Any) -> Any:
        """`create_state`; for a weight of 16 bits with multi_precision, (float32 copy, state of the copy)."""
        if dtype_of(weight) in NARROW:
            if self.multi_precision:
                place = place_of_array(weight)
                with place.current():
                    copy = place.view(plain(weight), "a weight").astype(np.float32)
                return copy, self.create_state(index, copy)
            warnings.warn(
                f"{type(self).__name__} accumulates in 16 bits: give multi_precision=True for a float32 copy",
                stacklevel=2,
            )
        return self.create_state(index, weight)

    # ---- updating

    def update(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """Update weights and states in place, by `fused_step` or `step`. Lists, or one parameter."""
        if not isinstance(indices, (list, tuple)):
            indices, weights, grads, states = [indices], [weights], [grads], [states]
        with self._lock:
            (self.fused_step if self.use_fused_step else self.step)(indices, weights, grads, states)

    def step(
        self, indices: Sequence[Any], weights: Sequence[Any], grads: Sequence[Any], states: Sequence[Any]
    ) -> None:
        """One update of all parameters, compiled from `rule`; or a subclass's own, in NumPy.

        Everything is checked before anything is written, and gradients are never changed. ShapeError, DTypeError,
        StateError and so on name the parameter.
        """
        if not len(indices) == len(weights) == len(grads) == len(states):
            lengths = ", ".join(str(len(x)) for x in (indices, weights, grads, states))
            raise ShapeError(f"update takes as many indices, weights, gradients and states; got {lengths}")
        if len(indices):
            found = indices if isinstance(indices, list) else list(indices)
            self._plan(found, weights, states).run(grads)

    def fused_step(
        self, indices: Sequence[Any], weights: Sequence[Any], grads: Sequence[Any], states: Sequence[Any]
    ) -> None:
        """The same as `step`."""
        Optimizer.step(self, indices, weights, grads, states)

    def update_multi_precision(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """`update`, with states of create_state_multi_precision: weights of 16 bits follow their float32 copies."""
        if not isinstance(indices, (list, tuple)):
            indices, weights, grads, states = [indices], [weights], [grads], [states]
        chosen = type(self).fused_step if self.use_fused_step else type(self).step
        if not self.multi_precision or chosen in (Optimizer.fused_step, Optimizer.step):
            self.update(indices, weights, grads, states)
        else:
            self._update_copies(indices, weights, grads, states)

    def _update_copies(self, indices: Any, weights: Any, grads: Any, states: Any) -> None:
        """A subclass's own step, on the float32 copies."""
        halves = [dtype_of(w) in NARROW for w in weights]
        copies = [s[0] if half else w for half, w, s in zip(halves, weights, states, strict=True)]
        inner = [s[1] if half else s for half, s in zip(halves, states, strict=True)]
        wide = [g.astype(np.float32) if half else g for half, g in zip(halves, grads, strict=True)]
        self.update(indices, copies, wide, inner)
        for half, weight, copy in zip(halves, weights, copies, strict=True):
            if half:
                weight[...] = copy.astype(weight.dtype)

    def _plan(self, indices: list[Any], weights: Sequence[Any], states: Sequence[Any]) -> Plan:
        """The plan of these parameters; the one used longest ago gives way when there are too many."""
        counts = self._index_update_count
        if self._last is not None and self._last.is_for(counts, indices, weights, states):
            return self._last
        key = (id(counts), *indices)
        plan = self._plans.get(key)
        if plan is None or not plan.is_for(counts, indices, weights, states):
            plan = self._plans[key] = Plan(self, counts, indices, weights, states)
            several = [k for k in self._plans if len(k) > 2]
            for old in several[:-PLANS]:
                del self._plans[old]
        if len(indices) > 1:
            self._plans.move_to_end(key)
        self._last = plan
        return plan

    # ---- rates

    @property
    def learning_rate(self) -> float:
        """The learning rate now: the scheduler's for `num_update`, or `lr`."""
        rate: float = self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)
        return rate

    def set_learning_rate(self, lr: float) -> None:
        """Set `lr`. ScheduledRateError (a UserWarning, raised as in MXNet) when there is a scheduler."""
        if self.lr_scheduler is not None:
            raise ScheduledRateError(
                "set_learning_rate: the rate is that of lr_scheduler; set lr_scheduler.base_lr, or lr_scheduler to None"
            )
        self.lr = lr

    def set_lr_mult(self, args_lr_mult: Mapping[Any, float]) -> None:
        """Factors on the learning rate, by name or index; all former ones go, but for those of `sym`'s arguments."""
        self.lr_mult = {**of_symbol(self.sym_info, "__lr_mult__"), **args_lr_mult}

    def set_wd_mult(self, args_wd_mult: Mapping[Any, float]) -> None:
        """Factors on the weight decay, by name or index; all former ones go, but for those of `sym`'s arguments."""
        self.wd_mult = {**of_symbol(self.sym_info, "__wd_mult__"), **args_wd_mult}

    def _get_lrs(self, indices: Sequence[Any]) -> list[float]:
        return [self.learning_rate * factor for factor in multipliers(self, indices)[0]]

    def _get_wds(self, indices: Sequence[Any]) -> list[float]:
        return [self.wd * factor for factor in multipliers(self, indices)[1]]

    def _get_lr(self, index: Any) -> float:
        return self._get_lrs([index])[0]

    def _get_wd(self, index: Any) -> float:
        return self._get_wds([index])[0]

    # ---- counts

    def _set_current_device(self, device_id: int) -> None:
        """Count updates of this device from now on: each device has counts of its own."""
        self._index_update_count = self._all_index_update_counts.setdefault(device_id, UpdateCounts())

    _set_current_context = _set_current_device

    def _update_count(self, index: Any) -> None:
        """Count an update of one index, or of each in a list: what a `step` in NumPy begins with."""
        counts = self._index_update_count
        for i in index if isinstance(index, (list, tuple)) else [index]:
            counts[i] = counts.get(i, self.begin_num_update) + 1
            self.num_update = max(self.num_update, counts[i])

    # ---- copies

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("param_dict", "_plans", "_last", "_index_update_count", "_lock"):
            del state[name]
        tables = self._all_index_update_counts
        state["_all_index_update_counts"] = {device: dict(counts) for device, counts in tables.items()}
        state["_device"] = next(d for d, counts in tables.items() if counts is self._index_update_count)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = state.pop("_device")
        self.__dict__.update(state, param_dict={}, _plans=OrderedDict(), _last=None, _lock=threading.RLock())
        tables = state["_all_index_update_counts"]
        self._all_index_update_counts = {d: UpdateCounts(counts) for d, counts in tables.items()}
        self._set_current_device(device)
