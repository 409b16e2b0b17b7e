"""What a step does beside the updates, in which order, as one Symbol.

unscale -> accumulate -> clip by value -> by norm -> by global norm -> decay -> update -> average
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .. import sym
from ..backends.watched import NanGuard
from ..symbol import Symbol
from . import gradients as g
from .graph import Entry, accumulated, averaged, group, if_taken, in_place, number, stored
from .groups import Group
from .scaling import LossScale

FACTOR = "@factor"  # the array of what all gradients are multiplied by, in a part of a step


@dataclass(frozen=True, slots=True)
class Options:
    """What is done to all parameters alike. None: not done."""

    clip_value: float | None = None
    clip_norm: float | None = None
    clip_global_norm: float | None = None
    accumulate: int = 1
    ema: float | Callable[[int], float] | None = None
    loss_scale: LossScale | None = None
    skip_nonfinite: bool = False
    engine: str = "auto"
    nan_guard: NanGuard = None

    @property
    def is_skipping(self) -> bool:
        """Whether a step is left out if a gradient is not finite."""
        return self.skip_nonfinite or self.loss_scale is not None

    def numbers(self, done: int) -> dict[str, float]:
        """The values of this step's variables, after `done` updates."""
        found: dict[str, float] = {}
        if self.ema is not None:
            found["@ema"] = float(self.ema(done)) if callable(self.ema) else self.ema
        if self.loss_scale is not None:
            found["@loss_scale"] = self.loss_scale.scale
        return found


def assemble(
    kinds: Mapping[str, str | None],
    groups: Mapping[str, Group],
    options: Options,
    is_update: bool,
    wide: Collection[str] = (),
    is_part: bool = False,
) -> Symbol:
    """The step for parameters by name, with the storage of their gradients; None: no gradient.

    `is_update`: False for a step that only adds gradients up. `wide`: names of parameters above 32 bits. With
    `is_skipping`, the first output of an update is 1 where it was made. `is_part`: of a step whose other parameters
    are elsewhere: what all gradients decide is known; it is made, and the global norm's clip is the array `FACTOR`.
    """
    updates = {id(x): x.update() for x in groups.values()}  # shared by the parameters of a group
    decays = {id(x): x.decay for x in groups.values()}
    entries = {
        n: Entry(n, updates[id(groups[n])], kind or "default", decays[id(groups[n])])
        for n, kind in kinds.items()
    }
    live = {n: entry for n, entry in entries.items() if kinds[n] is not None}
    outputs: list[Symbol] = []
    grads = totals(live, options)
    if options.accumulate > 1:
        outputs += [_kept(live[n], grad, is_update) for n, grad in grads.items()]
        if not is_update:
            return group(outputs)
        grads = g.divided(grads, options.accumulate)
    taken = None
    if options.is_skipping and not is_part:
        taken = g.all_finite(grads, wide)
        outputs.insert(0, taken)
    grads = g.clipped(
        grads, options.clip_value, options.clip_norm, None if is_part else options.clip_global_norm
    )
    if is_part and options.clip_global_norm is not None:
        grads = g.scaled(grads, sym.var(FACTOR, shape=(1,)))
    for name, entry in entries.items():
        outputs += _updated(entry, grads.get(name), taken, options.ema is not None)
    return group(outputs)


def totals(live: Mapping[str, Entry], options: Options) -> g.Gradients:
    """The gradients of a step, unscaled, and added to those that wait for them."""
    grads = {n: entry.variable("grad") for n, entry in live.items()}
    if options.loss_scale is not None:
        grads = g.divided(grads, number("loss_scale"))
    if options.accumulate > 1:
        grads = {n: accumulated(live[n], grad) for n, grad in grads.items()}
    return grads


def _kept(entry: Entry, total: Symbol, is_update: bool) -> Symbol:
    """The sum of gradients written back, or zeros when it is used up."""
    target = entry.variable("accumulator")
    return sym.zeros_like(total, out=target) if is_update else sym.identity(total, out=target)


def _updated(entry: Entry, grad: Symbol | None, taken: Any, has_average: bool) -> list[Symbol]:
    """The outputs that write a parameter, its states and its average."""
    weight, outputs = entry.variable(), []
    if grad is not None and taken is None:
        outputs = in_place(entry, grad)
        weight = outputs[0]
    elif grad is not None:
        weight, outputs = if_taken(entry, grad, taken)
        outputs.append(stored(entry, weight))
    if has_average:
        outputs.append(averaged(entry, weight, number("ema"), taken))
    return outputs
