"""Learning rates as functions of the number of updates: MXNet's schedulers, without memory.

A scheduler is asked with `num_update`, which is 1 at the first update, and gives MXNet 2's rate for it. Here the answer
depends on `num_update` and the attributes only, so any order of questions, and asking twice, gives the same rates.

>>> rate = CosineScheduler(max_update=100, base_lr=0.1, warmup_steps=10)
>>> rate(5), rate(10), rate(100)
(0.05, 0.1, 0.0)
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import ceil, cos, pi
from typing import Any

from .errors import AssertedTypeError, AssertedValueError, AttributeValueError, RuleError

__all__ = ["CosineScheduler", "FactorScheduler", "LRScheduler", "MultiFactorScheduler", "PolyScheduler"]

MODES = ("linear", "constant")


class LRScheduler:
    """A learning rate that begins with a warmup. Subclasses give `__call__(num_update)`.

    Before update `warmup_steps` the rate grows from `warmup_begin_lr` to `base_lr` ("linear"), or stays at
    `warmup_begin_lr` ("constant"). An optimizer that is given a learning rate of its own sets `base_lr` to it.
    AttributeValueError (a ValueError): base_lr below warmup_begin_lr, negative warmup_steps, an unknown mode.
    AssertedTypeError (an AssertionError and TypeError): warmup_steps that is no int.
    """

    def __init__(
        self,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        self.base_lr = base_lr
        self.warmup_steps = _integer(self, "warmup_steps", warmup_steps)
        self.warmup_begin_lr = warmup_begin_lr
        self.warmup_mode = warmup_mode
        self._check(
            warmup_begin_lr <= base_lr, "warmup_begin_lr", warmup_begin_lr, f"at most base_lr = {base_lr}"
        )
        self._check(warmup_steps >= 0, "warmup_steps", warmup_steps, "0 or more")
        self._check(warmup_mode in MODES, "warmup_mode", warmup_mode, "'linear' or 'constant'")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def get_warmup_lr(self, num_update: int) -> float:
        """The rate at an update before `warmup_steps`; AssertedValueError (an AssertionError) for a later one."""
        if num_update >= self.warmup_steps:
            raise AssertedValueError(
                f"{type(self).__name__}.get_warmup_lr: num_update = {num_update} is not in the warmup of "
                f"{self.warmup_steps} updates: call the scheduler"
            )
        if self.warmup_mode == "constant":
            return self.warmup_begin_lr
        rise = (self.base_lr - self.warmup_begin_lr) * float(num_update) / float(self.warmup_steps)
        return self.warmup_begin_lr + rise

    def __call__(self, num_update: int) -> float:
        """The learning rate of the update with this number, counted from 1."""
        raise RuleError(f"{type(self).__name__} has no rate: define __call__(self, num_update)")

    def _check(self, is_good: bool, name: str, given: Any, allowed: str) -> None:
        if not is_good:
            raise AttributeValueError(f"{type(self).__name__}: {name} = {given!r} must be {allowed}")


class FactorScheduler(LRScheduler):
    """The rate falls by `factor` every `step` updates, down to `stop_factor_lr`.

    The first update with a new rate is number step + 1, then 2 * step + 1. Updates of the warmup count too.
    AttributeValueError: step < 1, factor > 1.
    """

    def __init__(
        self,
        step: int,
        factor: float = 1,
        stop_factor_lr: float = 1e-8,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self._check(step >= 1, "step", step, "1 or more")
        self._check(factor <= 1, "factor", factor, "at most 1: the rate falls")
        self.step, self.factor, self.stop_factor_lr = step, factor, stop_factor_lr

    def __call__(self, num_update: int) -> float:
        """base_lr * factor ** (ceil(num_update / step) - 1), not below stop_factor_lr."""
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        falls = ceil(num_update / self.step) - 1
        return max(self.base_lr * self.factor**falls, self.stop_factor_lr) if falls > 0 else self.base_lr


class MultiFactorScheduler(LRScheduler):
    """The rate falls by `factor` after each of the updates listed in `step`.

    AssertedTypeError: step is no list, or empty. AttributeValueError: steps that do not increase or are below 1,
    factor > 1.
    """

    def __init__(
        self,
        step: list[int],
        factor: float = 1,
        base_lr: float = 0.01,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(base_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        if not isinstance(step, list) or not step:
            raise AssertedTypeError(
                f"{type(self).__name__}: step = {step!r} must be a list of one number or more"
            )
        self._check(all(a < b for a, b in pairwise(step)), "step", step, "increasing")
        self._check(step[0] >= 1, "step", step, "1 or more")
        self._check(factor <= 1, "factor", factor, "at most 1: the rate falls")
        self.step, self.factor = step, factor

    def __call__(self, num_update: int) -> float:
        """base_lr * factor ** (how many of `step` are below num_update)."""
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        return float(self.base_lr * self.factor ** bisect_left(self.step, num_update))


class _Until(LRScheduler):
    """What falls from base_lr to final_lr, between the warmup and update `max_update`, and then stays.

    AssertedTypeError: max_update is no int. AttributeValueError: max_update < 1, or not after the warmup.
    """

    def __init__(self, max_update: int, base_lr: float, final_lr: float, *warmup: Any) -> None:
        super().__init__(base_lr, *warmup)
        self.max_update = _integer(self, "max_update", max_update)
        self._check(max_update >= 1, "max_update", max_update, "1 or more")
        after = f"more than warmup_steps = {self.warmup_steps}"
        self._check(max_update > self.warmup_steps, "max_update", max_update, after)
        self.final_lr = final_lr

    def __call__(self, num_update: int) -> float:
        if num_update < self.warmup_steps:
            return self.get_warmup_lr(num_update)
        done = (min(num_update, self.max_update) - self.warmup_steps) / (self.max_update - self.warmup_steps)
        return self.final_lr + (self.base_lr - self.final_lr) * self._left(done)

    def _left(self, done: float) -> float:
        """What is left of the fall when this share of the updates is done."""
        raise RuleError(f"{type(self).__name__} has no curve")


class PolyScheduler(_Until):
    """From base_lr to final_lr as a power: final_lr + (base_lr - final_lr) * (1 - done) ** pwr.

    `done` is the share of the updates between the warmup and `max_update` that is over; after that the rate stays.
    AssertedTypeError: max_update is no int. AttributeValueError: max_update < 1, or not after the warmup.
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        pwr: float = 2,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)
        self.power = pwr

    def _left(self, done: float) -> float:
        return float((1 - done) ** self.power)


class CosineScheduler(_Until):
    """From base_lr to final_lr as half a cosine: final_lr + (base_lr - final_lr) * (1 + cos(pi * done)) / 2.

    `done` is the share of the updates between the warmup and `max_update` that is over; after that the rate stays.
    AssertedTypeError: max_update is no int. AttributeValueError: max_update < 1, or not after the warmup.
    """

    def __init__(
        self,
        max_update: int,
        base_lr: float = 0.01,
        final_lr: float = 0,
        warmup_steps: int = 0,
        warmup_begin_lr: float = 0,
        warmup_mode: str = "linear",
    ) -> None:
        super().__init__(max_update, base_lr, final_lr, warmup_steps, warmup_begin_lr, warmup_mode)

    def _left(self, done: float) -> float:
        return (1 + cos(pi * done)) / 2


def _integer(scheduler: LRScheduler, name: str, value: Any) -> int:
    if not isinstance(value, int):
        raise AssertedTypeError(
            f"{type(scheduler).__name__}: {name} = {value!r} must be an int, got {type(value).__name__}"
        )
    return value
