"""One graph for many parameters: their variables, updates, averages, and what is kept when a step is not taken.

A parameter called `fc1` has the variables `fc1` (the weight), `fc1/grad`, and `fc1/mean` and so on for its states;
numbers are called `@lr`, `@step` and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .. import sym
from ..sparse import RowSparseArray
from ..symbol import Symbol
from .gradients import Gradients
from .update import Update


@dataclass(slots=True)
class Entry:
    """One parameter in a graph. `stype`: the storage of its gradient. `decay`: the weight is multiplied by 1 - decay
    before the update (a number or Symbol; None: not). The variables are made on first use, each once."""

    name: str
    update: Update
    stype: str = "default"
    decay: Any = None
    variables: dict[str, Symbol] = field(default_factory=dict)

    def variable(self, kind: str = "") -> Symbol:
        """The variable of the weight, or `grad`, a state, or anything else kept for the parameter."""
        found = self.variables.get(kind)
        if found is None:
            stype = "row_sparse" if kind == "grad" and self.stype == "row_sparse" else None
            found = self.variables[kind] = sym.var(variable_name(self.name, kind), stype=stype)
        return found

    def updated(self, grad: Symbol, **more: Any) -> Symbol:
        """The node that updates the weight with a gradient, decay before."""
        weight = self.variable()
        if self.decay is not None:
            weight = weight - weight * self.decay
        states = {name: self.variable(name) for name in self.update.op.states}
        return self.update.symbol(self.name, weight, grad, states, **more)


def variable_name(parameter: str, kind: str = "") -> str:
    """What the graph calls the weight of a parameter, or what is kept for it."""
    return f"{parameter}/{kind}" if kind else parameter


@cache
def number(name: str) -> Symbol:
    """The one variable of a number that all parameters share. It is called `@name`, which no parameter may be."""
    return sym.var(f"@{name}", shape=())


def stype_of(grad: Any) -> str:
    """How a gradient is stored: "default" or "row_sparse"."""
    return "row_sparse" if isinstance(grad, RowSparseArray) else "default"


def gradients(entries: Sequence[Entry]) -> Gradients:
    """The gradient variable of each parameter, by its name."""
    return {entry.name: entry.variable("grad") for entry in entries}


def in_place(entry: Entry, grad: Symbol) -> list[Symbol]:
    """The update of one parameter, whose weight is written back."""
    return [entry.updated(grad, out=entry.variable())]


def if_taken(entry: Entry, grad: Symbol, taken: Symbol) -> tuple[Symbol, list[Symbol]]:
    """The new weight, and outputs that write the new states, where `taken` is 1; the old values where it is 0."""
    node = entry.updated(grad)
    states = []
    for name in entry.update.op.states:
        old = entry.variable(name)
        states.append(sym.where(taken, node.state(name), old, out=old))
    return sym.where(taken, node, entry.variable()), states


def stored(entry: Entry, weight: Symbol) -> Symbol:
    """A new weight written into the parameter's array."""
    return sym.identity(weight, out=entry.variable())


def averaged(entry: Entry, weight: Symbol, momentum: Any, taken: Symbol | None = None) -> Symbol:
    """The moving average of the weight, `momentum * average + (1 - momentum) * weight`, written into its array; where
    `taken` is 0 the array keeps what it has."""
    average = entry.variable("average")
    if taken is None:
        made: Symbol = sym.monolith_moving_average_update(average, weight, momentum=momentum, out=average)
        return made
    new = sym.monolith_moving_average_update(average, weight, momentum=momentum)
    return sym.where(taken, new, average, out=average)


def accumulated(entry: Entry, grad: Symbol) -> Symbol:
    """The sum of gradients so far and this one."""
    return entry.variable("accumulator") + grad


def group(outputs: Sequence[Symbol]) -> Symbol:
    """All outputs as one Symbol."""
    return sym.Group(list(outputs))


def arrays_of(name: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays kept for a parameter, by the names of their variables."""
    return {variable_name(name, kind): array for kind, array in kept.items()}
