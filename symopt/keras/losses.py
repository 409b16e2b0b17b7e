"""Losses: they are not differentiated here, but a function may bring its gradients along."""

from __future__ import annotations

from typing import Any

from ..errors import NoAutogradError, PairsError

NO_AUTOGRAD = (
    "symopt has no autograd, so it cannot differentiate a loss: compute gradients elsewhere and give them to "
    "apply_gradients(zip(grads, variables)), get_updates(params, grads), or minimize(fn, variables) with a function "
    "that gives (loss, gradients)"
)


def gradients_of(loss: Any, var_list: Any) -> list[tuple[Any, Any]]:
    """(gradient, variable) pairs, of a function that gives (loss, gradients); NoAutogradError for anything else.

    `var_list`: variables, or a function that gives them.
    """
    if not callable(loss):
        raise NoAutogradError(NO_AUTOGRAD)
    variables = list(var_list() if callable(var_list) else var_list)
    found = loss()
    if not isinstance(found, tuple) or len(found) != 2:
        raise NoAutogradError(f"{NO_AUTOGRAD}; the function gave {type(found).__name__}")
    grads = list(found[1])
    if len(grads) != len(variables):
        raise PairsError(f"{len(variables)} variables, but the function gave {len(grads)} gradients")
    return list(zip(grads, variables))
