"""How many steps a parameter has had, and the products that some rules keep over their steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..opdef import OpDef
from ..training.update import count_of

STEP = "step"  # what states call the count, as torch does


class Counter:
    """The count of all parameters of a group that have had the same steps.

    `kept`: tensors of shape () for the states of these parameters, all of them the same objects: `step`, and the
    rule's running products.
    """

    def __init__(self, op: OpDef, step: float, products: Mapping[str, float]) -> None:
        self._count = count_of(op)
        self._running = op.running
        self._values = {STEP: float(step)} | {name: float(products[name]) for name in op.running}
        # float64 on the processor: counts and products are exact, and cost nothing to write
        self.kept = {name: torch.tensor(value, dtype=torch.float64) for name, value in self._values.items()}
        self._arrays = {name: tensor.numpy() for name, tensor in self.kept.items()}
        self._factors: dict[str, float] = {}

    @property
    def names(self) -> list[str]:
        """The attributes that formulas get from here."""
        return [*([self._count] if self._count else []), *self._running]

    def numbers(self, attrs: Mapping[str, float]) -> dict[str, float]:
        """What formulas get in the next step, by attribute. `attrs`: the numbers of the group."""
        step = self._values[STEP] + 1
        found = {self._count: step} if self._count else {}
        for name, running in self._running.items():
            factor = self._factors[name] = _called(running.factor, {**attrs, STEP: step})
            found[name] = self._values[name] * (factor if running.inclusive else 1.0)
        return found

    def advance(self) -> None:
        """The step was taken."""
        self._values[STEP] += 1
        for name, factor in self._factors.items():
            self._values[name] *= factor
        for name, array in self._arrays.items():
            array[...] = self._values[name]


def history(op: OpDef, state: Mapping[str, Any]) -> tuple[float, ...]:
    """What the counter of a parameter holds, from its state: the count, then the products."""
    return (float(state.get(STEP, 0)), *(float(state.get(name, 1.0)) for name in op.running))


def _called(factor: Any, attrs: Mapping[str, float]) -> float:
    code = factor.__code__
    return float(factor(**{name: attrs[name] for name in code.co_varnames[: code.co_argcount]}))
