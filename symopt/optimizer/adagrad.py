"""AdaGrad, and what scales steps by accumulated squares."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from ..errors import AssertedValueError, RenamedArgumentError
from ..sparse import RowSparseArray
from .optimizer import Optimizer
from .registry import register

Rule = tuple[str, Mapping[str, Any]]


def check_renamed(name: str, given: Mapping[str, Any], old: str, new: str) -> None:
    """RenamedArgumentError (a DeprecationWarning, raised as in MXNet) for an argument's former name."""
    if given.get(old) is not None:
        raise RenamedArgumentError(f"{name}: {old} is called {new}")


@register
class AdaGrad(Optimizer):
    """AdaGrad; row_sparse gradients touch the rows they list only."""

    def __init__(
        self,
        learning_rate: float | None = 0.01,
        epsilon: float = 1e-6,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        check_renamed("AdaGrad", kwargs, "eps", "epsilon")
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.epsilon = epsilon

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        return "adagrad", {**self.usual(lr, wd), "epsilon": self.epsilon}


@register
class GroupAdaGrad(Optimizer):
    """AdaGrad with one accumulator for each row of a matrix: history (rows, 1).

        grad = clip(grad * rescale_grad, clip_gradient)
        history += mean(square(grad), axis=1, keepdims=True)
        weight -= lr * grad / (sqrt(history) + epsilon)

    Row_sparse gradients touch the rows they list only. There is no weight decay: AssertedValueError (an AssertionError)
    if it is not 0, or for a weight that has not two axes.
    """

    def __init__(
        self,
        learning_rate: float | None = 0.01,
        epsilon: float = 1e-6,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.epsilon = epsilon

    def create_state(self, index: Any, weight: Any) -> Any:
        if len(weight.shape) != 2:
            name = self.idx2name.get(index, index)
            raise AssertedValueError(
                f"GroupAdaGrad: weight {name!r} must have two axes, has shape {weight.shape}"
            )
        return super().create_state(index, weight)

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        if wd != 0:
            raise AssertedValueError(
                f"GroupAdaGrad has no weight decay: wd = {wd} must be 0, or its multiplier"
            )
        attrs = self.usual(lr, wd)
        del attrs["wd"]
        return "group_adagrad", {**attrs, "epsilon": self.epsilon}


@register
class RMSProp(Optimizer):
    """Steps divided by a running root mean square; `centered` subtracts the mean and has `momentum` (Graves).

    `clip_weights`: bound of the new weights; None or 0: none.
    """

    def __init__(
        self,
        learning_rate: float | None = 0.001,
        rho: float = 0.9,
        momentum: float = 0.9,
        epsilon: float = 1e-8,
        centered: bool = False,
        clip_weights: float | None = None,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        check_renamed("RMSProp", kwargs, "gamma1", "rho")
        check_renamed("RMSProp", kwargs, "gamma2", "momentum")
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon
        self.centered, self.clip_weights = centered, clip_weights

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        """State: (mean, var, momentum) when centered, else var."""
        attrs = {**self.usual(lr, wd), "rho": self.rho, "epsilon": self.epsilon, "lazy_update": False}
        attrs["clip_weights"] = self.clip_weights or -1.0
        return ("rmspropalex", {**attrs, "momentum": self.momentum}) if self.centered else ("rmsprop", attrs)


@register
class AdaDelta(Optimizer):
    """Steps in the ratio of accumulated steps to accumulated gradients."""

    def __init__(
        self,
        learning_rate: float | None = 1.0,
        rho: float = 0.9,
        epsilon: float = 1e-6,
        use_fused_step: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.rho, self.epsilon = rho, epsilon

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        return "adadelta", {**self.usual(lr, wd), "rho": self.rho, "epsilon": self.epsilon}


@register
class Ftrl(Optimizer):
    """Follow the regularized leader; `lamda1` is the L1 strength, wd the L2 strength.

    A row_sparse gradient touches the rows it lists only if the weight is a RowSparseArray; a dense weight is made anew
    from its states in every row, as in MXNet.
    """

    def __init__(
        self,
        learning_rate: float | None = 0.1,
        lamda1: float = 0.01,
        beta: float = 1.0,
        use_fused_step: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, use_fused_step=use_fused_step, **kwargs)
        self.lamda1, self.beta = lamda1, beta

    def kind(self, index: Any, weight: Any, state: Any) -> Hashable:
        return isinstance(weight, RowSparseArray)

    def rule(self, lr: float, wd: float, t: int, kind: Hashable) -> Rule:
        attrs = {**self.usual(lr, wd), "lamda1": self.lamda1, "beta": self.beta}
        return "ftrl", {**attrs, "lazy_update": bool(kind)}
