"""Attributes of ops: their types, their checks, and the glossary that documents each once."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required"})()

GLOSSARY = {
    "lr": "learning rate, per step",
    "wd": "weight decay: this times the weight is added where the formula says",
    "rescale_grad": "factor on the gradient before anything else (1 / batch size, 1 / loss scale)",
    "clip_gradient": "bound c >= 0: the rescaled gradient is clipped to [-c, c]; negative: no clipping",
    "lazy_update": "with a row_sparse gradient, touch only the rows it lists; False: the dense formula with zeros",
    "momentum": "decay of the accumulated step, or of a moving average",
    "beta1": "decay of the mean of gradients",
    "beta2": "decay of the mean of squared gradients",
    "epsilon": "added to the denominator",
    "rho": "decay of the means of squares",
    "nesterov": "look ahead: step by the gradient plus the decayed accumulated step",
    "decoupled_weight_decay": "wd shrinks the weight by lr * wd, and does not enter the gradient",
    "l1": "L1 strength; of a group, on the Euclidean norm of each row",
    "l2": "L2 strength; of a group lasso, on the Euclidean norm of each row",
    "global_step": "number of this step",
    "lambda_": "strength of delay compensation",
    "published": "compute what Monolith's published code does where it differs from the intended rule",
    "v2": "the second version of the rule: a decaying sum of squares, and epsilon outside the root",
    "fixed_range": "the largest magnitude that has a code",
    "amplitude": "the largest magnitude of the result",
    "step_size": "number of steps between two changes of the scale",
    "init_scale": "scale at step 0",
    "max_scale": "scale after many steps",
    "lamda1": "L1 strength (MXNet's spelling)",
    "beta": "FTRL's smoothing term of the learning rate",
    "scalar": "the number on the other side of the operator",
    "a_min": "lower bound",
    "a_max": "upper bound",
    "axis": "None: over all elements; or every axis but the first: over each row",
    "keepdims": "keep reduced axes with length 1",
    "ord": "order of the norm: only 2",
    "dtype": "dtype of the result",
    "init_output": "accepted for MXNet's sake; the output is always set",
    "num_arrays": "number of inputs",
    "scale": "factor on every element before anything else",
}


class Attr(NamedTuple):
    """One keyword of an op. kind: float or integer (run-time arguments), or bool, int, str, axis (structural).

    `switch`: a float whose sign decides what is computed at all (clips and bounds): on when >= 0.
    """

    name: str
    kind: str
    default: Any = REQUIRED
    switch: bool = False

    @property
    def doc(self) -> str:
        return GLOSSARY.get(self.name, "")

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("float", "integer")

    def parse(self, value: Any) -> Any:
        """The value as the attribute's type, from Python or from MXNet's strings; ValueError says what is wrong."""
        return _PARSERS[self.kind](value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        item = getattr(value, "item", None)  # NumPy scalars and one-element arrays
        if isinstance(value, bool) or item is None or getattr(value, "size", 0) != 1:
            raise ValueError(f"must be a number, got {value!r}")
        value = item()
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"must be a number, got {value!r}") from None
    if math.isnan(number):
        raise ValueError("must be a number, got NaN")
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, str):
        value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError(f"must be True or False, got {value!r}")


def _int(value: Any) -> int:
    number = _float(value)
    if not number.is_integer():  # infinities neither
        raise ValueError(f"must be an integer, got {value!r}")
    return int(number)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, got {value!r}")
    return value


def _dtype(value: Any) -> str:
    from .dtypes import canonical

    return canonical(value)


def _axis(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, str):
        import ast

        try:
            value = ast.literal_eval(value if len(value) <= 100 else "")
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise ValueError(f"must be None, an integer or a tuple of integers, got {value!r}") from None
    if value is None or value == ():
        return None
    axes = (value,) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(axes, (tuple, list)) or not all(type(a) is int for a in axes):
        raise ValueError(f"must be None, an integer or a tuple of integers, got {value!r}")
    return tuple(axes)


_PARSERS = {
    "float": _float,
    "integer": _int,
    "bool": _bool,
    "int": _int,
    "str": _str,
    "dtype": _dtype,
    "axis": _axis,
}
