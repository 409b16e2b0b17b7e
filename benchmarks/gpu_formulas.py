"""What the cases compute, in float64 and NumPy, written down apart from symopt: each entry is checked against these.

A formula changes the values of one pick (see gpu_cases.py) as step t does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LR, BETA1, BETA2, EPSILON, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01
GROUP_EPSILON = 1e-5
Values = dict[str, np.ndarray]
Formula = Callable[[Values, int], None]


def rate(t: int) -> float:
    """Adam's rate with the correction of the bias."""
    return LR * float(np.sqrt(1 - BETA2**t)) / (1 - BETA1**t)


def _moments(x: Values, g: np.ndarray) -> None:
    x["m"] = BETA1 * x["m"] + (1 - BETA1) * g
    x["v"] = BETA2 * x["v"] + (1 - BETA2) * g * g


def adam(x: Values, t: int) -> None:
    """MXNet's: the correction of the bias is in the rate. `scale`, if there is one, multiplies the gradient."""
    _moments(x, x["g"] * x.get("scale", 1.0))
    rate = LR * np.sqrt(1 - BETA2**t) / (1 - BETA1**t)
    x["w"] = x["w"] - rate * x["m"] / (np.sqrt(x["v"]) + EPSILON)


def torch_adam(x: Values, t: int) -> None:
    """torch's: epsilon is added to the corrected root."""
    _moments(x, x["g"] * x.get("scale", 1.0))
    root = np.sqrt(x["v"]) / np.sqrt(1 - BETA2**t)
    x["w"] = x["w"] - LR / (1 - BETA1**t) * x["m"] / (root + EPSILON)


def adam_in_bfloat16(x: Values, t: int) -> None:
    """The weight is rounded when it is stored."""
    adam(x, t)
    x["w"] = _bfloat16(x["w"])


def mp_adam(x: Values, t: int) -> None:
    """Adam on the float32 copy, which the float16 weight is rounded from."""
    whole = {**x, "w": x["w32"]}
    adam(whole, t)
    x.update(whole, w32=whole["w"], w=whole["w"].astype(np.float16).astype(np.float64))


def group_adagrad(x: Values, t: int) -> None:
    x["h"] = x["h"] + np.mean(x["g"] * x["g"], axis=1, keepdims=True)
    x["w"] = x["w"] - LR * x["g"] / (np.sqrt(x["h"]) + GROUP_EPSILON)


def lamb(x: Values, t: int) -> None:
    """Of a whole tensor: the step is as long as its norm and that of the direction say."""
    _moments(x, x["g"])
    root = np.sqrt(x["v"] / (1 - BETA2**t)) + 1e-6
    direction = x["m"] / (1 - BETA1**t) / root + DECAY * x["w"]
    w_norm, d_norm = np.linalg.norm(x["w"]), np.linalg.norm(direction)
    x["w"] = x["w"] - LR * (w_norm / d_norm if w_norm > 0 and d_norm > 0 else 1.0) * direction


def _bfloat16(x: np.ndarray) -> np.ndarray:
    """Rounded to nearest, ties to even, by way of float32, as symopt and torch store it."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)
