"""One op on one tensor, with the numbers that are known; and what its formula says with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import SymoptError
from ..expr import Node
from ..opdef import STATE_KINDS, OpDef
from ..show.formula import Formula, formula_of
from .probe import Numbers, Settings, probe_of

LATE = 1000.0  # the number of a step that is not known: one at which averages have settled
GENERIC = (0.37, 0.61, 0.43, 0.71, 0.53, 0.29, 0.67)  # for numbers that are not known, where any will do


class Facts:
    """What a formula does with these numbers, shared by all nodes that are alike.

    `numbers`: the numeric attributes that are known; `given`: attributes that the user wrote; `symbols`: those that are
    Symbols. `weight`: the input that the formula takes for the weight, a float32 copy if there is one.
    """

    def __init__(
        self,
        op: OpDef,
        structural: Settings,
        switches: Settings,
        numbers: Mapping[str, float],
        given: frozenset[str],
        symbols: frozenset[str],
    ) -> None:
        self.op = op
        self.structural = dict(structural)
        self.numbers = numbers
        self.given = given
        self.symbols = symbols
        self.probe = probe_of(op, structural, switches)
        self.weight = op.inputs[max(op.master, 0)].name if op.inputs else ""
        self.grads = tuple(i.name for i in op.inputs[1:] if i.kind == "tensor")
        self.states = tuple(i.name for i in op.inputs if i.kind in STATE_KINDS and i.kind != "residual")
        self.gives_weight = op.is_update and op.gives == "weight" and op.n_results > 0

    @cached_property
    def formula(self) -> Formula | None:
        """The formula as terms, with flags and the numbers 0 and 1 put in; None if it cannot be traced so."""
        values = {n: v for n, v in self.structural.items() if n in self.op.attrs}
        for name, value in self.numbers.items():
            if value <= 0 if self.op.attrs[name].switch else value in (0, 1):
                values[name] = value
        try:
            return formula_of(self.op, values)
        except SymoptError:
            return None

    @property
    def stochastic(self) -> bool:
        return self.structural.get("rounding") == "stochastic"

    # ---- asking the formula

    def at(self, change: Mapping[str, Any] | None = None, **inputs: Any) -> dict[str, Numbers] | None:
        """The outputs at these inputs and changed numbers, what is not said at some number or other; None: cannot be."""
        if self.probe is None:
            return None
        names = [i.name for i in self.op.inputs]
        point: dict[str, Any] = {name: GENERIC[k % len(GENERIC)] for k, name in enumerate(names)}
        point.update({i.name: 0.0 for i in self.op.inputs if i.kind == "residual"})
        for k, name in enumerate(self.op.numeric):
            late = self.op.attrs[name].kind == "integer"
            generic = LATE if late else GENERIC[-1 - k % len(GENERIC)]
            point[name] = self.numbers.get(name, generic)
        point.update(change or {})
        point.update(inputs)
        return self.probe(point)

    def at_rest(self, change: Mapping[str, Any] | None = None, **inputs: Any) -> dict[str, Numbers] | None:
        """`at` with no gradient and all states zero."""
        zero = dict.fromkeys((*self.grads, *self.states), 0.0)
        return self.at(change, **{**zero, **inputs})

    def knows(self, output: str) -> bool:
        """Whether every number that an output depends on is known; the numbers of steps are not asked for."""
        if self.formula is None:
            return False
        return all(
            name in self.numbers or self.op.attrs[name].kind == "integer"
            for kind, name in self.formula.leaves
            if kind == "attr"
        )


@dataclass(frozen=True, eq=False)
class Unit:
    """An op on one tensor: a node, or one part of a node that takes several."""

    node: Node
    name: str
    inputs: Mapping[str, Node]
    symbols: Mapping[str, Node]
    result: int  # which output of the node the weight is
    facts: Facts

    @property
    def weight(self) -> Node:
        """The variable or value whose new value it gives."""
        return next(iter(self.inputs.values()))
