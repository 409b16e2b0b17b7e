"""One step of a Keras 3 optimizer as a Symbol: everything it does to all variables, in Keras's order.

Gradients are unscaled, accumulated and clipped; weights decay, are updated and averaged; and where the gradients of a
scaled step are not all finite, every array keeps what it had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import sym
from ..symbol import Symbol
from ..training import gradients as of_gradients
from ..training.graph import Entry, accumulated, averaged, if_taken, number, stored
from ..training.update import Update, count_of
from .kept import Kept

CLIPS = {"clipvalue": "value", "clipnorm": "norm", "global_clipnorm": "global_norm"}


class Phase(NamedTuple):
    """What kind of step it is: one that updates or only accumulates; one after which the averages become the weights;
    one that is left out if a gradient is not finite."""

    is_update: bool
    overwrites: bool
    is_scaled: bool


class Processing(NamedTuple):
    """Options of the optimizer that shape the graph."""

    clip: str  # the option's name, or ""
    bound: float
    loss_scale_factor: float | None
    accumulation_steps: int
    use_ema: bool


class StepGraph:
    """Outputs of a step, for variables `kept`, of which those in `live` (by key: storage) have gradients.

    `decaying`: keys of the variables whose weight decays.
    """

    def __init__(
        self,
        options: Processing,
        kept: Sequence[Kept],
        live: Mapping[str, str],
        decaying: Mapping[str, str],
        phase: Phase,
    ) -> None:
        self.options, self.phase, self.kept = options, phase, {k.key: k for k in kept}
        self.numbers: dict[Any, Symbol] = {}
        self.entries = {k.key: self._entry(k, live.get(k.key, "default"), decaying.get(k.key)) for k in kept}
        self.outputs: list[Symbol] = []
        given = {key: self.entries[key].variable("grad") for key in live}
        wide = {key for key in given if self.kept[key].known.view.dtype.itemsize > 4}
        self.taken = of_gradients.all_finite(given, wide) if phase.is_scaled else None
        if self.taken is not None:
            self.outputs.append(self.taken)
        replacing = {key: g for key, g in given.items() if self.kept[key].overwritten}
        self._overwrite(replacing)
        self.gradients = self._processed({key: g for key, g in given.items() if key not in replacing})

    # ---- numbers

    def number(self, name: str) -> Symbol:
        """The one variable of that name."""
        if name not in self.numbers:
            self.numbers[name] = number(name)
        return self.numbers[name]

    def product(self, one: str, other: str) -> Symbol:
        """The product of two numbers, computed once for all variables."""
        if (one, other) not in self.numbers:
            self.numbers[one, other] = self.number(one) * self.number(other)
        return self.numbers[one, other]

    def _entry(self, kept: Kept, stype: str, decay: str | None) -> Entry:
        rule = kept.rule
        if rule is None:
            update = None
        else:
            attrs = {**rule.attrs, **{attr: self.number(key) for attr, key in rule.keys.items()}}
            if "lr" in rule.op.attrs and "lr" not in attrs:
                attrs["lr"] = self.product("lr", rule.lr_factor) if rule.lr_factor else self.number("lr")
            counts = [count_of(rule.op), *rule.op.running]
            attrs.update({name: self.number(name) for name in counts if name and name not in attrs})
            update = Update(op=rule.op, attrs=attrs, initial=rule.initial)
        shrink = None if decay is None else self.product("lr", decay)
        return Entry(kept.name, update, stype, shrink)  # type: ignore[arg-type]

    # ---- gradients

    def _overwrite(self, grads: Mapping[str, Symbol]) -> None:
        """Variables that become their gradient: with accumulation, the largest of them."""
        for key, grad in grads.items():
            entry = self.entries[key]
            if self.options.accumulation_steps > 1:
                total = entry.variable("accumulator")
                grad = sym.maximum(grad, total)
                self._store(sym.zeros_like(grad) if self.phase.is_update else grad, total)
            if self.phase.is_update:
                self._store(grad, entry.variable())

    def _processed(self, grads: dict[str, Symbol]) -> dict[str, Symbol]:
        """Gradients as the update gets them, none on steps that only accumulate."""
        if self.phase.is_scaled:
            grads = of_gradients.divided(grads, self.number("loss_scale"))
        elif self.options.loss_scale_factor is not None:
            grads = of_gradients.divided(grads, self.options.loss_scale_factor)
        if self.options.accumulation_steps > 1:
            grads = self._accumulated(grads)
        return self._clipped(grads) if self.phase.is_update and grads else {}

    def _accumulated(self, grads: dict[str, Symbol]) -> dict[str, Symbol]:
        """The mean of the gradients of the last calls, which ends them, or their sum so far, which is kept."""
        sums = {key: accumulated(self.entries[key], g) for key, g in grads.items()}
        if not self.phase.is_update:
            for key, total in sums.items():
                self._store(total, self.entries[key].variable("accumulator"))
            return {}
        for key, kept in self.kept.items():
            total = self.entries[key].variable("accumulator")
            if kept.has_sum and not kept.overwritten:
                sums.setdefault(key, total)
            if key in sums:
                self._store(sym.zeros_like(total), total)
        return of_gradients.divided(sums, self.options.accumulation_steps)

    def _clipped(self, grads: dict[str, Symbol]) -> dict[str, Symbol]:
        bounds = {CLIPS[self.options.clip]: self.options.bound} if self.options.clip else {}
        return of_gradients.clipped(grads, **bounds)

    # ---- weights

    def fused(self) -> Symbol:
        """The whole step."""
        weights = {key: self._updated(key, g) for key, g in self.gradients.items()}
        self._average(weights)
        return self._group()

    def prepared(self) -> Symbol:
        """What comes before an `update_step` in Python: decay, and as the last outputs the gradients."""
        for key in self.gradients:
            entry = self.entries[key]
            if entry.decay is not None:
                weight = entry.variable()
                self._store(weight - weight * entry.decay, weight)
        self.outputs += [sym.identity(g) for g in self.gradients.values()]
        return self._group()

    def finished(self) -> Symbol:
        """What comes after it: averages."""
        self._average({})
        return self._group()

    def _updated(self, key: str, grad: Symbol) -> Symbol:
        entry = self.entries[key]
        if self.taken is None:
            return entry.updated(grad)
        weight, states = if_taken(entry, grad, self.taken)
        self.outputs += states
        return weight

    def _average(self, weights: Mapping[str, Symbol]) -> None:
        """Averages of all weights, where they are asked for; then weights are stored."""
        for key, entry in self.entries.items():
            weight = weights.get(key)
            if self.options.use_ema and not self.kept[key].overwritten:
                now = entry.variable() if weight is None else weight
                average = averaged(entry, now, self.number("ema"), self.taken)
                self.outputs.append(average)
                if self.phase.overwrites:
                    weight = average if self.taken is None else sym.where(self.taken, average, now)
            if weight is not None:
                self.outputs.append(stored(entry, weight))

    def _store(self, value: Symbol, variable: Symbol) -> None:
        """Write a value into a variable, unless the step is not taken."""
        if self.taken is None:
            self.outputs.append(sym.identity(value, out=variable))
        else:
            self.outputs.append(sym.where(self.taken, value, variable, out=variable))

    def _group(self) -> Symbol:
        return sym.Group(self.outputs)
