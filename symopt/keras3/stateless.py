"""Steps without side effects: arrays in, arrays out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StateError
from ..keras.scalars import Scalar
from ..keras.variables import Variable
from ..training.update import copy_beside
from .steps import Steps

if TYPE_CHECKING:
    from .optimizer import Optimizer


def apply(
    optimizer: Optimizer, own: Sequence[Any], grads: Sequence[Any], trainable: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """See Optimizer.stateless_apply. A twin of the optimizer takes the step, on arrays of its own."""
    name = type(optimizer).__name__
    if not optimizer.built:
        raise StateError(
            f"To call `stateless_apply`, {name} must be built (i.e. its variables must have been created). "
            "You can build it via `optimizer.build(trainable_variables)`."
        )
    _check_length("optimizer_variables", own, len(optimizer.variables), name)
    _check_length("trainable_variables", trainable, len(optimizer._trained()), name)
    twin = optimizer._twin()
    variables = twin._trained()
    for variable, value in zip(variables, trainable, strict=True):
        variable.assign(value)
    twin.set_weights(own)
    twin.apply(grads, variables)
    return [copy_beside(v.value) for v in variables], [_copy(v) for v in twin.variables]


def _check_length(what: str, given: Sequence[Any], expected: int, name: str) -> None:
    if len(given) != expected:
        raise StateError(
            f"Argument `{what}` must be a list of arrays corresponding 1:1 to those of {name}. Received list with "
            f"length {len(given)}, but expected {expected} variables."
        )


def twin_of(optimizer: Optimizer) -> Optimizer:
    """A built optimizer of the same configuration, on copies of the variables."""
    steps = optimizer._steps
    copies = {id(k): Variable(copy_beside(k.known.array), k.known.name) for k in steps.kept}
    for kept in steps.kept:
        copies[id(kept)].constraint = kept.known.constraint
    twin = fresh_copy(optimizer)
    excluded = [copies[id(k)] for k in steps.kept if steps.is_excluded(k)]
    twin._steps.exclude(excluded, [])
    twin.build([copies[id(k)] for k in steps.kept])
    return twin


def fresh_copy(optimizer: Optimizer) -> Optimizer:
    """An optimizer of the same attributes that is not built, with counters of its own."""
    twin = copy.copy(optimizer)
    rate = optimizer._learning_rate
    own_rate = Scalar(rate.value, "learning_rate", np.float64) if isinstance(rate, Scalar) else rate
    vars(twin).update(built=False, _iterations=Scalar(0, "iteration"), _learning_rate=own_rate)
    vars(twin)["_steps"] = Steps(twin, optimizer._steps.engine)
    return twin


def _copy(variable: Any) -> Any:
    return variable.numpy() if isinstance(variable, Scalar) else copy_beside(variable.value)
