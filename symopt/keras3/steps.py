"""The steps of one optimizer: its variables, what it keeps for them, and the executors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import (
    DTypeError,
    StateError,
    StorageError,
    SymoptError,
)
from ..keras.hypers import checked
from ..keras.scalars import Scalar
from ..training.copies import MadeAgain
from ..training.graph import variable_name
from ..training.runner import Runner
from .calls import Call, check_gradient, check_present
from .graph import Phase, Processing, StepGraph
from .held import Held
from .options import CLIPS

if TYPE_CHECKING:
    from .optimizer import Optimizer

KEPT_CALLS = 8  # lists of variables and kinds of gradients; the one used longest ago goes first


class Steps(Held, MadeAgain):
    """The steps of an optimizer. `is_swapped`: the averages are in the weights. `twin`: another optimizer like it, for
    stateless_apply."""

    made_again: ClassVar[Mapping[str, Callable[[], Any]]] = {
        "_calls": list,
        "_given": type(None),
        "twin": type(None),
    }

    def __init__(self, optimizer: Optimizer, engine: str = "auto") -> None:
        super().__init__(optimizer)
        self.engine = engine
        self.is_swapped = False
        self.twin: Any = None
        self._calls: list[Call] = []

    def change(self, name: str, value: Any) -> None:
        """An attribute of the optimizer was set."""
        self.twin = None
        super().change(name, value)

    def exclude(self, variables: list[Any], patterns: list[str]) -> None:
        """See Optimizer.exclude_from_weight_decay."""
        self.twin = None
        super().exclude(variables, patterns)

    def run(self, grads: Sequence[Any], variables: Sequence[Any] | None, loss_scale: float | None) -> bool:
        """One call of `apply`; with a loss scale, whether all gradients were finite and the step was taken."""
        if self.is_swapped:
            self.check_not_swapped("apply")
        if self._is_stale:
            self.renew()
            self._calls.clear()
        grads = grads if isinstance(grads, (list, tuple)) else list(grads)
        given = self.given if variables is None else variables
        given = given if isinstance(given, (list, tuple)) else list(given)
        call = (
            self._calls[0] if self._calls and self._calls[0].fits(given, grads) else self._find(given, grads)
        )
        if call.missing:
            warnings.warn(f"Gradients do not exist for variables {call.missing}", stacklevel=4)
        try:
            is_taken = self._step(call, grads, loss_scale)
        except (DTypeError, StorageError):
            self.check(grads, given)
            fresh = self._new_call(given, grads)  # of the types before, but perhaps other dtypes
            if not fresh.converts or len(fresh.converts) == len(call.converts):
                raise
            self._calls[self._calls.index(call)] = fresh
            is_taken = self._step(fresh, grads, loss_scale)
        except SymoptError:
            self.check(grads, given)  # says it better, if a gradient does not fit
            raise
        return is_taken

    def _find(self, given: Sequence[Any], grads: Sequence[Any]) -> Call:
        """The call that fits, the last one first."""
        call = next((c for c in self._calls if c.fits(given, grads)), None)
        if call is None:
            call = self._new_call(given, grads)
        else:
            self._calls.remove(call)
        self._calls.insert(0, call)
        del self._calls[KEPT_CALLS:]
        return call

    def _new_call(self, given: Sequence[Any], grads: Sequence[Any]) -> Call:
        check_present(grads, given)
        kept = [self.find(variable) for variable in given]
        return Call(kept, given, grads)

    def check(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        """The errors that a step would raise, without one."""
        self.check_not_swapped("apply")
        for grad, variable in zip(grads, variables, strict=True):
            if grad is not None:
                check_gradient(grad, self.find(variable).known)

    def _phase(self, is_scaled: bool) -> Phase:
        every = self.optimizer.gradient_accumulation_steps or 1
        count = int(self.optimizer._iterations)
        frequency = self.optimizer.ema_overwrite_frequency if self.optimizer.use_ema else None
        overwrites = bool(frequency) and (count // every + 1) % (frequency or 1) == 0
        return Phase((count + 1) % every == 0, overwrites, is_scaled)

    def _step(self, call: Call, grads: Sequence[Any], loss_scale: float | None) -> bool:
        phase = self._phase(loss_scale is not None)
        numbers = self._now(loss_scale)
        live = call.gradients(grads)
        if self.is_python:
            from .python_steps import run_python_step

            is_taken = run_python_step(self, call, phase, live, numbers)
        else:
            outputs = self.runner(call, phase, "fused", live, numbers).run(live, numbers)
            is_taken = loss_scale is None or bool(outputs[0][0])
        if is_taken:
            self._advance(call, phase, numbers)
        return is_taken

    def runner(
        self, call: Call, phase: Phase, part: str, live: Sequence[Any], numbers: dict[str, float]
    ) -> Runner:
        """The executor of a part of a step ("fused": all of it), made when there is none."""
        is_sum = phase.is_update and self.optimizer.gradient_accumulation_steps
        sums = tuple(one.index for one in self.kept if one.has_sum) if is_sum else ()
        key = (part, phase, sums)
        found = call.runners.get(key)
        if found is None:
            options = self.optimizer
            clip = next((name for name in CLIPS if getattr(options, name) is not None), "")
            processing = Processing(
                clip,
                getattr(options, clip) if clip else 0.0,
                options.loss_scale_factor,
                options.gradient_accumulation_steps or 1,
                options.use_ema,
            )
            graph = StepGraph(processing, self.kept, call.stypes, self.decaying(), phase)
            symbol = getattr(graph, part)()
            arrays = {variable_name(k.name, kind): x for k in self.kept for kind, x in k.arrays().items()}
            used = set(symbol.list_inputs())
            given = {name: g for name, g in zip(call.names, live, strict=True) if name in used}
            context = self.kept[0].place.context
            found = call.runners[key] = Runner(symbol, arrays, given, numbers, context, self.engine)
            call.order = list(graph.gradients)
        return found

    def _now(self, loss_scale: float | None) -> dict[str, float]:
        """The numbers of this step."""
        optimizer, numbers = self.optimizer, dict(self._numbers)
        rate = optimizer._learning_rate
        numbers["@lr"] = (
            rate.value if type(rate) is Scalar else checked("learning_rate", optimizer.learning_rate)
        )
        every = optimizer.gradient_accumulation_steps or 1
        done = optimizer._iterations.value // every
        numbers["@step"] = numbers["@t"] = done + 1
        if optimizer.use_ema:
            numbers["@ema"] = optimizer.ema_momentum if done else 0.0
        if loss_scale is not None:
            numbers["@loss_scale"] = loss_scale
        if self.products:
            self.multiply(numbers)
        return numbers

    def _advance(self, call: Call, phase: Phase, numbers: dict[str, float]) -> None:
        """Take in that a step was made."""
        iterations = self.optimizer._iterations
        iterations.value = int(iterations.value) + 1
        if phase.is_update:
            for name, product in self.products.items():
                product.value = numbers[f"@{name}!"]
        if self.optimizer.gradient_accumulation_steps:
            for one in self.kept if phase.is_update else call.kept:
                one.has_sum = not phase.is_update
        for one in call.constrained:
            one.constrain()

    def check_not_swapped(self, what: str) -> None:
        """StateError while averages are in the weights."""
        if self.is_swapped:
            raise StateError(f"{what}: the averages are in the weights: swap() them back first")
