"""Adam's steps scaled to the weight's norm: LAMB and LANS."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from ..dtypes import NARROW
from ..errors import AssertedValueError
from .optimizer import Optimizer
from .plan import dtype_of
from .registry import register

Rule = tuple[str, Mapping[str, Any]]
MOST = 45  # parameters that MXNet's classes take at once


def check_number(name: str, aggregate_num: float) -> None:
    """AssertedValueError above MXNet's limit."""
    if aggregate_num > MOST:
        raise AssertedValueError(
            f"{name}: aggregate_num = {aggregate_num} must be at most {MOST}, as in MXNet; leave it out: all "
            "parameters of a call are one step here"
        )


def bounds(optimizer: LAMB | LANS) -> dict[str, Any]:
    """The attributes of both; bounds that are None or 0 are off, and states of 16-bit weights are float32."""
    return {
        "beta1": optimizer.beta1,
        "beta2": optimizer.beta2,
        "epsilon": optimizer.epsilon,
        "lower_bound": optimizer.lower_bound or -1.0,
        "upper_bound": optimizer.upper_bound or -1.0,
    }


@register
class LAMB(Optimizer):
    """Adam whose steps are in proportion to the norm of each weight, for large batches."""

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        bias_correction: bool = True,
        aggregate_num: float = 4,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        check_number("LAMB", aggregate_num)
        super().__init__(
            learning_rate=learning_rate, aggregate_num=aggregate_num, use_fused_step=use_fused_step, **kwargs
        )
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.lower_bound, self.upper_bound, self.bias_correction = lower_bound, upper_bound, bias_correction

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        return dtype_of(weight) in NARROW

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = {**self.usual(lr, wd), **bounds(self), "t": t, "bias_correction": self.bias_correction}
        return "lamb", {**attrs, "state_dtype": "float32" if kind else None}


@register
class LANS(Optimizer):
    """LAMB with Nesterov's momentum, and gradients of norm 1."""

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        aggregate_num: float = 4,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        check_number("LANS", aggregate_num)
        super().__init__(
            learning_rate=learning_rate, aggregate_num=aggregate_num, use_fused_step=use_fused_step, **kwargs
        )
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.lower_bound, self.upper_bound = lower_bound, upper_bound

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        return dtype_of(weight) in NARROW

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = {**self.usual(lr, wd), **bounds(self), "t": t}
        return "lans", {**attrs, "state_dtype": "float32" if kind else None}
