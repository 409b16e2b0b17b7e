"""The updates of an optimizer as Symbols, for graphs of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import sym
from ..errors import NoAutogradError, PairsError
from ..symbol import Symbol
from .hypers import is_constant
from .stepping import clipped_symbols
from .updates import factor_of, op_of, resolved, update_from

if TYPE_CHECKING:
    from .optimizer import Optimizer


class Parameter:
    """A parameter of a graph, as `update_rule` sees it: it has no shape yet, and is taken for a matrix."""

    shape = dtype = None
    ndim = 2

    def __init__(self, name: str) -> None:
        self.name = name


def update_symbols(optimizer: Optimizer, params: Sequence[Any], grads: Sequence[Any]) -> list[Symbol]:
    """One update for each parameter; see Optimizer.get_updates."""
    if not isinstance(params, (list, tuple)) or not isinstance(grads, (list, tuple)):
        raise NoAutogradError(
            "get_updates takes lists of parameters and of their gradients, as Symbols or names: symopt has no "
            "autograd, so it takes no loss"
        )
    if len(params) != len(grads):
        raise PairsError(f"get_updates: {len(params)} parameters, but {len(grads)} gradients")
    weights, given = ([_symbol(x) for x in xs] for xs in (params, grads))
    names = [str(weight.name) for weight in weights]
    clipped = clipped_symbols(dict(zip(names, given, strict=True)), optimizer._clips())
    numbers = _numbers(optimizer)
    return [_update(optimizer, weight, clipped[str(weight.name)], numbers) for weight in weights]


def _symbol(x: Any) -> Symbol:
    return x if isinstance(x, Symbol) else sym.var(str(x))


def _numbers(optimizer: Optimizer) -> dict[str, Any]:
    """Hyperparameters as numbers or variables, and the step, which counts on."""
    hypers = optimizer._hypers
    numbers: dict[str, Any] = {
        name: hypers[name] if is_constant(hypers[name]) else sym.var(name, shape=()) for name in hypers
    }
    iterations = sym.var("iterations", shape=())
    numbers["step"] = step = sym._plus_scalar(iterations, scalar=1, out=iterations)
    if not is_constant(numbers["decay"]) or numbers["decay"]:
        numbers["learning_rate"] = numbers["learning_rate"] / (1 + numbers["decay"] * (step - 1))
    return numbers


def _update(optimizer: Optimizer, weight: Symbol, grad: Symbol, numbers: dict[str, Any]) -> Symbol:
    rule = resolved(optimizer.update_rule(Parameter(str(weight.name))))
    for attr, running in op_of(rule).running.items():
        if attr not in numbers:
            kept = sym.var(optimizer._product_names.get(attr, attr), shape=())
            after = sym.elemwise_mul(kept, factor_of(rule, attr, numbers), out=kept)
            numbers[attr] = after if running.inclusive else kept
    names = _slot_names(rule.slots or {})
    states = {state: sym.var(f"{weight.name}/{names[state]}") for state in op_of(rule).states}
    is_variable = weight.list_inputs() == [weight.name]
    target = {"out": weight} if is_variable else {}
    return update_from(rule, numbers).symbol(f"{weight.name}/update", weight, grad, states, **target)


def _slot_names(slots: Mapping[str, str]) -> dict[str, str]:
    return {state: slot for slot, state in slots.items()}
