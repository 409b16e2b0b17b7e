"""SGD and its relatives."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import AssertedValueError
from ..training.update import copy_beside, zeros_beside
from .optimizer import Optimizer
from .plan import leaves, plain
from .registry import register

Rule = tuple[str, Mapping[str, Any]]


def momentum_state(optimizer: Any, weight: Any) -> Any:
    """Zeros for the momentum, or None when there is none."""
    return zeros_beside(plain(weight)) if optimizer.momentum != 0 else None


def check_lazy(name: str, lazy_update: bool, use_fused_step: bool, multi_precision: bool = False) -> None:
    """AssertedValueError for what MXNet's classes assert about lazy_update."""
    if lazy_update and not use_fused_step:
        raise AssertedValueError(f"{name}: lazy_update=True needs use_fused_step=True, as in MXNet")
    if lazy_update and multi_precision:
        raise AssertedValueError(
            f"{name}: lazy_update=True and multi_precision=True exclude each other, as in MXNet"
        )


@register
class SGD(Optimizer):
    """Gradient descent, with momentum when `momentum` is not 0.

    `lazy_update`: row_sparse gradients touch the rows they list only; False: every row decays and moves on.

    >>> sgd, w = SGD(learning_rate=0.5), np.ones(2)
    >>> sgd.update([0], [w], [np.ones(2)], [sgd.create_state(0, w)])
    >>> w
    array([0.5, 0.5])
    """

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.0,
        lazy_update: bool = False,
        multi_precision: bool = False,
        use_fused_step: bool = True,
        aggregate_num: float = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            multi_precision=multi_precision,
            use_fused_step=use_fused_step,
            aggregate_num=aggregate_num,
            **kwargs,
        )
        check_lazy("SGD", lazy_update, use_fused_step, multi_precision)
        self.momentum, self.lazy_update = momentum, lazy_update

    def create_state(self, index: Any, weight: Any) -> Any:
        return momentum_state(self, weight)

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        return bool(leaves(state))

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = {**self.usual(lr, wd), "lazy_update": self.lazy_update}
        return ("sgd_mom", {**attrs, "momentum": self.momentum}) if kind else ("sgd", attrs)


@register
class NAG(Optimizer):
    """Nesterov's momentum; without momentum, gradient descent."""

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.9,
        multi_precision: bool = False,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            multi_precision=multi_precision,
            use_fused_step=use_fused_step,
            **kwargs,
        )
        self.momentum = momentum

    def create_state(self, index: Any, weight: Any) -> Any:
        return momentum_state(self, weight)

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        return bool(leaves(state))

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = {**self.usual(lr, wd), "lazy_update": False}
        return ("nag_mom", {**attrs, "momentum": self.momentum}) if kind else ("sgd", attrs)


@register
class Signum(Optimizer):
    """Steps of the learning rate's length along the signs of the momentum; without momentum, of the gradient.

    `wd_lh`: decay apart from the gradient, after Loshchilov and Hutter.
    """

    def __init__(
        self,
        learning_rate: float | None = 0.01,
        momentum: float = 0.9,
        wd_lh: float = 0.0,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.momentum, self.wd_lh = momentum, wd_lh

    def create_state(self, index: Any, weight: Any) -> Any:
        return momentum_state(self, weight)

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        return bool(leaves(state))

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        if kind:
            return "signum", {**self.usual(lr, wd), "momentum": self.momentum, "wd_lh": self.wd_lh}
        return "signsgd", {"lr": lr, "wd": wd + self.wd_lh}


@register
class LARS(Optimizer):
    """SGD whose rate is proportional to the norm of each weight; names in gamma, beta or bias follow plain SGD.

    `eta`: the factor of proportion. `lazy_update` is as in SGD, for those that follow plain SGD.
    """

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.0,
        eta: float = 0.001,
        epsilon: float = 1e-8,
        lazy_update: bool = False,
        use_fused_step: bool = True,
        aggregate_num: float = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate, use_fused_step=use_fused_step, aggregate_num=aggregate_num, **kwargs
        )
        check_lazy("LARS", lazy_update, use_fused_step, self.multi_precision)
        self.momentum, self.eta, self.epsilon, self.lazy_update = momentum, eta, epsilon, lazy_update

    def create_state(self, index: Any, weight: Any) -> Any:
        return momentum_state(self, weight)

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        name = str(self.idx2name.get(index, index))
        return bool(leaves(state)), name.endswith(("gamma", "beta", "bias"))

    def rule(self, lr: float, wd: float, t: int, kind: Any) -> Rule:
        has_momentum, is_plain = kind
        attrs = {**self.usual(lr, wd), "lazy_update": self.lazy_update}
        if has_momentum:
            attrs["momentum"] = self.momentum
        if is_plain:
            return "sgd_mom" if has_momentum else "sgd", attrs
        return "lars" if has_momentum else "lars_plain", {**attrs, "eta": self.eta, "epsilon": self.epsilon}


@register
class DCASGD(Optimizer):
    """SGD that compensates for gradients of older weights, by `lamda` times the gradient's square."""

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        momentum: float = 0.0,
        lamda: float = 0.04,
        use_fused_step: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.momentum, self.lamda = momentum, lamda

    def create_state(self, index: Any, weight: Any) -> Any:
        """(momentum or None, previous weight)."""
        return momentum_state(self, weight), copy_beside(plain(weight))

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        return len(leaves(state)) > 1

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = {**self.usual(lr, wd), "lambda_": self.lamda, "lazy_update": False}
        return ("dcasgd", {**attrs, "momentum": self.momentum}) if kind else ("dcasgd_plain", attrs)


@register
class SGLD(Optimizer):
    """Stochastic gradient Langevin dynamics: half a gradient step, and noise of variance lr.

    The noise is drawn by `generator`, a numpy.random.Generator: assign one with a seed for the same noise again.
    """

    def __init__(
        self, learning_rate: float | None = 0.1, use_fused_step: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.generator = np.random.default_rng()

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        return "sgld", {**self.usual(lr, wd), "lazy_update": False}

    def draw(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.generator.standard_normal(shape, dtype)


@register
class Test(Optimizer):
    """Gradient descent without clipping, and a state of zeros that nothing uses: for tests of what calls optimizers."""

    def create_state(self, index: Any, weight: Any) -> Any:
        return zeros_beside(plain(weight))

    def arrays_in(self, state: Any) -> list[Any]:
        return []

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        return "sgd", {"lr": lr, "wd": wd, "rescale_grad": self.rescale_grad, "lazy_update": False}
