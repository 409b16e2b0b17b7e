"""Adam and its relatives."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import sqrt
from typing import Any

from ..training.update import find_op
from .optimizer import Optimizer
from .registry import register
from .sgd import check_lazy

Rule = tuple[str, Mapping[str, Any]]


def corrected(lr: float, beta1: float, beta2: float, t: int) -> float:
    """The rate of update t with Adam's corrections for the biases of both means."""
    return lr * sqrt(1 - beta2**t) / (1 - beta1**t)


@register
class Adam(Optimizer):
    """Adam, with the bias corrections folded into the learning rate, so that epsilon is the paper's epsilon-hat.

    `lazy_update`: row_sparse gradients touch the rows they list only; False: every row's means decay.
    """

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        lazy_update: bool = False,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        check_lazy("Adam", lazy_update, use_fused_step)
        self.beta1, self.beta2, self.epsilon, self.lazy_update = beta1, beta2, epsilon, lazy_update

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = self.usual(corrected(lr, self.beta1, self.beta2, t), wd)
        betas = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        return "adam", {**attrs, **betas, "lazy_update": self.lazy_update}


@register
class AdamW(Optimizer):
    """Adam with decay apart from the gradient; as in MXNet the bias corrections scale the decay too."""

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        correct_bias: bool = True,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1, self.beta2, self.epsilon, self.correct_bias = beta1, beta2, epsilon, correct_bias

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        eta = corrected(lr, self.beta1, self.beta2, t) if self.correct_bias else lr
        betas = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        return "adamw", {**self.usual(1.0, wd), **betas, "eta": eta, "lazy_update": False}


@register
class AdaBelief(Optimizer):
    """Adam whose second moment is that of the gradient's distance from its mean; decay is added before the clip."""

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-6,
        correct_bias: bool = True,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1, self.beta2, self.epsilon, self.correct_bias = beta1, beta2, epsilon, correct_bias

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        eta = corrected(lr, self.beta1, self.beta2, t) if self.correct_bias else lr
        betas = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        return "adabelief", {**self.usual(1.0, wd), **betas, "eta": eta, "lazy_update": False}


@register
class Adamax(Optimizer):
    """Adam with the infinity norm."""

    def __init__(
        self,
        learning_rate: float | None = 0.002,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        use_fused_step: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        betas = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        return "adamax", {**self.usual(lr, wd), **betas, "t": t}


@register
class Nadam(Optimizer):
    """Adam with Nesterov's momentum, which grows by a schedule.

    MXNet multiplies one product of the schedule once for every parameter, so that its steps depend on how many there
    are; here each has its own. `m_schedule(t, kind)` gives it, to be overridden.
    """

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        schedule_decay: float = 0.004,
        use_fused_step: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1, self.beta2, self.epsilon, self.schedule_decay = beta1, beta2, epsilon, schedule_decay
        self._products: tuple[Any, list[float]] = ((), [1.0])

    def momentum(self, t: int) -> float:
        """The scheduled momentum of update t."""
        factor: float = find_op("nadam").running["m_schedule"].factor(t, self.beta1, self.schedule_decay)
        return factor

    def m_schedule(self, t: int, kind: Hashable) -> float:
        """The product of the momenta of all updates up to t, with the present beta1 and schedule_decay."""
        made_of = (self.beta1, self.schedule_decay, self.begin_num_update)
        if self._products[0] != made_of:
            self._products = made_of, [1.0]
        products = self._products[1]
        while len(products) <= t - self.begin_num_update:
            products.append(products[-1] * self.momentum(self.begin_num_update + len(products)))
        return products[t - self.begin_num_update]

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        betas = {"beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon}
        schedule = {"m_schedule": self.m_schedule(t, kind), "schedule_decay": self.schedule_decay}
        return "nadam", {**self.usual(lr, wd), **betas, **schedule, "t": t}


@register
class FTML(Optimizer):
    """Follow the moving leader."""

    def __init__(
        self,
        learning_rate: float | None = 0.0025,
        beta1: float = 0.6,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = self.usual(lr, wd)
        attrs["clip_grad"] = attrs.pop("clip_gradient")
        return "ftml", {**attrs, "beta1": self.beta1, "beta2": self.beta2, "epsilon": self.epsilon, "t": t}
