"""Between the `get_weights()` lists of Keras's optimizers and the state of a step of `so.compile`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import AttributeValueError, StateError, UnknownOpError, near
from ..keras.variables import Variable
from ..opdef import OPS, OpDef
from ..training.compiled import FORMAT
from ..training.names import Tree, flatten

LAYOUTS = ("keras", "keras3")


def from_keras_weights(
    weights: Sequence[Any],
    params: Tree,
    cls: str,
    config: Mapping[str, Any] | None = None,
    layout: str = "keras3",
) -> dict[str, Any]:
    """The state of `so.compile` that goes on where an optimizer of Keras was.

    `weights`: its `get_weights()`. `params`: the variables' arrays by name, in the order in which it had them; only
    their names, shapes and dtypes are looked at. `cls`: its class, "Adam". `config`: its `get_config()`, or what of it
    is no default. `layout`: "keras" for the classes up to TF 2.10, whose lists have one slot of all variables, then the
    next; "keras3" for Keras 3, which goes from variable to variable. The optimizers of `so.keras` and `so.keras3` take
    such lists by `set_weights` themselves.

    StateError or ShapeError if the list is not one of this class, layout and configuration.

    >>> params = {"w": np.ones(2, np.float32)}
    >>> state = from_keras_weights([5, np.zeros(2), np.ones(2)], params, "Adam", layout="keras")
    >>> state["updates"], sorted(state["parameters"]["w"]["states"])
    (5, ['mean', 'var'])
    """
    named = {name: np.zeros(x.shape, np.asarray(x).dtype) for name, x in flatten(params, "params").items()}
    variables = [Variable(x, name) for name, x in named.items()]
    optimizer = _built(variables, cls, config, layout)
    expected = [np.shape(x) for x in optimizer.get_weights()]
    given = [np.shape(x) for x in weights]
    if expected != given:
        raise StateError(
            f"from_keras_weights: {cls} in the layout {layout!r} has arrays of shapes {expected}, got {given}"
        )
    optimizer.set_weights([np.asarray(x) for x in weights])
    held = optimizer.state_dict()
    parameters = {}
    for variable, slots in zip(variables, _slots(held)):
        rule = optimizer.update_rule(variable)
        numbers = {attr: float(getattr(optimizer, key)) for attr, key in rule.keys.items()}
        parameters[variable.name] = {
            "rule": _named(rule.op, cls, layout).name,
            "shape": list(variable.shape),
            "dtype": variable.dtype.name,
            "hyper": {**rule.attrs, **numbers},
            "products": _products(rule.op, held),
            "states": {state: np.array(slots[slot]) for slot, state in rule.slots.items()},
        }
    return {"format": FORMAT, "updates": int(held["iterations"]), "micro_steps": 0, "parameters": parameters}


def to_keras_weights(
    state: Mapping[str, Any],
    cls: str,
    config: Mapping[str, Any] | None = None,
    layout: str = "keras3",
    dtype: Any = np.float32,
) -> list[np.ndarray[Any, Any]]:
    """The list that `set_weights` of this class of Keras takes, from the state of a step of `so.compile`.

    `dtype`: of the variables. See `from_keras_weights` for the others. StateError for the rule of another class.
    """
    parameters = state["parameters"]
    named = {name: np.zeros(tuple(p["shape"]), dtype) for name, p in parameters.items()}
    variables = [Variable(x, name) for name, x in named.items()]
    optimizer = _built(variables, cls, config, layout)
    held = optimizer.state_dict()
    for variable, slots in zip(variables, _slots(held)):
        own, rule = parameters[variable.name], optimizer.update_rule(variable)
        op = _named(rule.op, cls, layout)
        if own["rule"] != op.name:
            raise StateError(
                f"to_keras_weights: {variable.name} is updated by {own['rule']}, and {cls} of {layout} is {op.name}"
            )
        for slot, kept in rule.slots.items():
            slots[slot][...] = np.asarray(own["states"][kept])
        held = _with_products(held, own["products"])
    optimizer.load_state_dict({**held, "iterations": int(state["updates"])})
    return [np.array(x) for x in optimizer.get_weights()]


def _built(variables: Sequence[Variable], cls: str, config: Mapping[str, Any] | None, layout: str) -> Any:
    """Our optimizer of the class, with slots for these variables."""
    if layout not in LAYOUTS:
        raise AttributeValueError(f"layout = {layout!r} must be one of {', '.join(LAYOUTS)}")
    known = import_module(f"symopt.{layout}.optimizers")
    made = getattr(known, cls, None)
    if made is None:
        raise UnknownOpError(f"{layout} has no optimizer {cls!r}{near(cls, dir(known))}")
    options = dict(config or {})
    if options.get("use_ema") or options.get("gradient_accumulation_steps"):
        raise StateError(
            "averages and accumulated gradients of Keras 3 are taken over by so.keras3's set_weights only"
        )
    optimizer = made.from_config(options)
    optimizer.build(list(variables))
    return optimizer


def _slots(held: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The slots of each variable, by name: the arrays in use."""
    return [p["states"] for p in held["parameters"].values()]


def _named(op: OpDef, cls: str, layout: str) -> OpDef:
    """The op of a class as people call it: with the decay in it, which the class has as a step of its own."""
    whole = OPS.get(f"{layout}_{cls.lower()}_update")
    is_same = whole is not None and whole.states == op.states and "wd" in whole.attrs and "wd" not in op.attrs
    return whole if whole is not None and is_same else op


def _products(op: OpDef, held: Mapping[str, Any]) -> dict[str, float]:
    kept = held.get("products", held)
    return {name: float(kept[name]) for name in op.running}


def _with_products(held: Mapping[str, Any], products: Mapping[str, float]) -> dict[str, Any]:
    if "products" in held:
        return {**held, "products": {**held["products"], **products}}
    return {**held, **products}
