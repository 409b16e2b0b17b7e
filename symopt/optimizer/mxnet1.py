"""Where states and attributes of MXNet 1's classes are not those of MXNet 2's, which are the ones here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .adagrad import RMSProp
from .optimizer import Optimizer
from .sgd import LARS, NAG, SGD

MODULE = "mxnet.optimizer.optimizer"  # of nearly all classes there; in MXNet 2 each has its own
NAMES = {"gamma1": "rho", "gamma2": "momentum", "float_stable_eps": "epsilon", "eps": "epsilon"}


def renamed(module: str, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a class, by the names that they have here."""
    if module != MODULE and "float_stable_eps" not in attributes:
        return dict(attributes)
    found = {NAMES.get(key, key): value for key, value in attributes.items()}
    return {**found, "lr": 1.0} if name == "AdaDelta" else found  # whose steps have no rate there


def to_mxnet1(optimizer: Optimizer, state: Any) -> Any:
    """A parameter's state as the class of this name has it in MXNet 1: the float32 copy last in SGD, NAG and LARS;
    RMSProp's in a tuple, and when centered (var, mean, momentum)."""
    if isinstance(optimizer, (SGD, NAG, LARS)) and isinstance(state, tuple):
        return state[::-1]
    if isinstance(optimizer, RMSProp):
        if isinstance(state, tuple) and len(state) == 2:
            return state[0], _rmsprop(state[1])
        return _rmsprop(state)
    return state


def from_mxnet1(optimizer: Optimizer, state: Any) -> Any:
    """What `to_mxnet1` made a state of."""
    if isinstance(optimizer, RMSProp) and isinstance(state, tuple):
        if len(state) == 2:
            return state[0], from_mxnet1(optimizer, state[1])
        return _rmsprop(state) if len(state) == 3 else state[0] if len(state) == 1 else state
    return to_mxnet1(optimizer, state)


def _rmsprop(state: Any) -> tuple[Any, ...]:
    """One array in a tuple; of three, the first two change places."""
    return (state[1], state[0], *state[2:]) if isinstance(state, tuple) else (state,)
