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
    "rho": "decay of the means of gradients and of squared gradients",
    "gamma1": "decay of the means of gradients and of squared gradients",
    "gamma2": "decay of the accumulated step",
    "epsilon": "added to the denominator",
    "eps": "added to the denominator",
    "tau": "added to the denominator: the smaller, the more the step adapts to each element",
    "eta": "factor on the whole step, decay included; of LARS, on the trust ratio",
    "t": "number of this step, from 1",
    "bias_correction": "divide the moments by 1 - beta**t",
    "wd_lh": "weight decay apart from the gradient: the weight shrinks by lr times this",
    "clip_grad": "bound c >= 0: the rescaled gradient is clipped to [-c, c]; negative: no clipping",
    "clip_weights": "bound c >= 0: the new weight is clipped to [-c, c]; negative: no clipping",
    "lower_bound": "bound >= 0: the weight's norm counts as no less in the trust ratio; negative: no bound",
    "upper_bound": "bound >= 0: the weight's norm counts as no more in the trust ratio; negative: no bound",
    "step": "which step this is, counted from 1",
    "dampening": "share of the gradient kept out of the accumulated step",
    "nesterov": "look ahead: step by the gradient plus the decayed accumulated step",
    "maximize": "climb: the gradient is negated before anything else",
    "decoupled_weight_decay": "wd shrinks the weight by lr * wd, and does not enter the gradient",
    "mu_product": "product of NAdam's momenta mu of all steps before this one: 1 at the first",
    "momentum_decay": "how fast NAdam's momentum nears beta1",
    "lr_decay": "how fast the learning rate falls with the steps",
    "alpha": "decay of the mean of squared gradients (RMSprop), or power of the falling rate (ASGD)",
    "lambd": "ASGD's decay of the weight, and of the rate (torch's spelling)",
    "t0": "the step before which nothing is averaged",
    "etaminus": "factor on the step size where the gradient's sign changed",
    "etaplus": "factor on the step size where the gradient's sign stayed",
    "step_size_min": "smallest step size",
    "step_size_max": "largest step size",
    "m_schedule": "product of the scheduled momenta up to and including this step",
    "u_product": "product of the scheduled momenta up to and including this step",
    "schedule_decay": "speed of Nadam's momentum schedule",
    "schedule_base": "base of Nadam's momentum schedule",
    "warmup_steps": "the learning rate grows linearly over this many steps; 0: at once",
    "learning_rate_power": "FTRL's learning rate falls with this power of the sum of squares",
    "l1_regularization_strength": "L1 strength",
    "l2_regularization_strength": "L2 strength; Keras uses twice this",
    "l2_shrinkage_regularization_strength": "L2 strength that acts like a gradient; Keras uses twice this",
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
    "beta2_decay": "power of the step that Adafactor's new squares are weighted with",
    "epsilon1": "least second moment, or the number added to squared gradients",
    "epsilon2": "least size of the weight that Adafactor's step is in proportion to",
    "clip_threshold": "largest root mean square of Adafactor's step, before the learning rate",
    "d": "largest root mean square of Adafactor's step, before the learning rate",
    "ns_steps": "how often Muon's iteration is run",
    "a": "coefficient of x in Muon's iteration",
    "b": "coefficient of x x' x in Muon's iteration",
    "c": "coefficient of x x' x x' x in Muon's iteration",
    "rms_rate": "factor on Muon's step beside the root of the matrix's longer side; negative: neither of them",
    "adjust_lr_fn": "what Muon's step is scaled by: original or match_rms_adamw",
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
    "num_weights": "number of weights",
    "num_tensors": "number of weights",
    "state_dtype": "dtype the states are kept in; the default is the weight's. The computation keeps its own",
    "rounding": "how 16-bit weights and states are rounded when stored: nearest or stochastic",
    "seed": "what random numbers are made from; of stochastic rounding: another number at every step, such as a count",
    "stream": "number of a sequence of random numbers, from 0: those of two streams have nothing to do with each other",
    "low": "least number drawn",
    "high": "bound that the numbers drawn stay below",
    "mean": "mean of the numbers drawn",
    "stddev": "standard deviation of the numbers drawn, before any is cut off",
    "fill_value": "the number",
    "kahan": "keep what rounding a 16-bit weight loses in one more state, `compensation`, and add it to the next step",
    "scale": "factor on every element before squaring",
}


class Attr(NamedTuple):
    """One keyword of an op. kind: float or integer (run-time arguments), or bool, int, str, axis (structural).

    `switch`: a float whose sign decides what is computed at all (clips and bounds): on when >= 0.
    `length`: of a tuple of so many run-time arguments, one for each tensor.
    """

    name: str
    kind: str
    default: Any = REQUIRED
    switch: bool = False
    length: int = 0

    @property
    def doc(self) -> str:
        return GLOSSARY.get(self.name, "")

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("float", "integer")

    def parse(self, value: Any) -> Any:
        """The value as the attribute's type, from Python or from MXNet's strings; ValueError says what is wrong."""
        if self.default is None and value is None:
            return None
        return _tuple(value, self) if self.length else _PARSERS[self.kind](value)


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


def _tuple(value: Any, attr: Attr) -> tuple[Any, ...]:
    if isinstance(value, str):
        value = _literal(value, "a tuple of numbers")
    values = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(values, (tuple, list)) or len(values) != attr.length:
        given = f"{len(values)} values" if isinstance(values, (tuple, list)) else repr(value)
        raise ValueError(f"must be a tuple of {attr.length} numbers, one for each tensor, got {given}")
    return tuple(map(_PARSERS[attr.kind], values))


def _literal(text: str, wanted: str) -> Any:
    """A Python literal of a file or a user: numbers and tuples only."""
    import ast

    try:
        return ast.literal_eval(text if len(text) <= 100_000 else "")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"must be {wanted}, got {text[:80]!r}") from None


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


def _dtype(value: Any) -> str | None:
    from .dtypes import canonical

    return None if value == "None" else canonical(value)


def _rounding(value: Any) -> str:
    if value not in ("nearest", "stochastic"):
        raise ValueError(f"must be 'nearest' or 'stochastic', got {value!r}")
    return str(value)


def _axis(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, str):
        value = _literal(value, "None, an integer or a tuple of integers")
    if value is None or value == ():
        return None
    axes = (value,) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(axes, (tuple, list)) or not all(type(a) is int for a in axes):
        raise ValueError(f"must be None, an integer or a tuple of integers, got {value!r}")
    return tuple(axes)


_PARSERS = {
    "float": _float, "integer": _int, "bool": _bool, "int": _int, "str": _str, "dtype": _dtype, "axis": _axis,
    "rounding": _rounding,
}  # fmt: skip
