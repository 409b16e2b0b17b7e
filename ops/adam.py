"""Adam and its relatives."""

from symopt.lang import RowState, State, Tensor, Updated, abs2, clip, maximum, sqrt, updated
from symopt.opdef import update_op


@update_op(aliases=("_sparse_adam_update",))
def adam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
                wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                lazy_update: bool = True) -> Updated:
    """Adam without bias correction [Kingma & Ba 2015, arXiv:1412.6980]; MXNet 2 order: clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mean = beta1 * mean + (1 - beta1) * g
    var = beta2 * var + (1 - beta2) * abs2(g)
    return updated(weight - lr * mean / (sqrt(var) + epsilon), mean=mean, var=var)


@update_op
def monolith_adam_update(weight: Tensor, grad: Tensor, mean: State, var: State,
                         beta1_power: RowState, beta2_power: RowState, *,
                         lr: float, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 0.01,
                         wd: float = 0.0, nesterov: bool = False) -> Updated:
    """Adam of Monolith: biases are corrected by the number of updates that a row itself has had.

    The powers start at beta1 and beta2. Epsilon is added to the root of the uncorrected var.
    """
    g = grad + wd * weight
    step, states = _counted_by_row(g, mean, var, beta1_power, beta2_power, lr, beta1, beta2, nesterov)
    return updated(weight - step / (sqrt(states["var"]) + epsilon), **states)


@update_op
def monolith_amsgrad_update(weight: Tensor, grad: Tensor, mean: State, var: State, max_var: State,
                            beta1_power: RowState, beta2_power: RowState, *,
                            lr: float, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 0.01,
                            wd: float = 0.0, nesterov: bool = False) -> Updated:
    """AMSGrad [Reddi, Kale & Kumar 2018] of Monolith: its Adam, divided by the root of the largest var so far."""
    g = grad + wd * weight
    step, states = _counted_by_row(g, mean, var, beta1_power, beta2_power, lr, beta1, beta2, nesterov)
    max_var = maximum(max_var, states["var"])
    return updated(weight - step / (sqrt(max_var) + epsilon), max_var=max_var, **states)


def _counted_by_row(g: Tensor, mean: Tensor, var: Tensor, beta1_power: Tensor, beta2_power: Tensor,
                    lr: float, beta1: float, beta2: float, nesterov: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Adam's step but for its denominator, and the new states."""
    mean = mean + (1 - beta1) * (g - mean)
    var = var + (1 - beta2) * (abs2(g) - var)
    rate = lr * sqrt(1 - beta2_power) / (1 - beta1_power)
    ahead = beta1 * mean + (1 - beta1) * g if nesterov else mean
    return rate * ahead, {"mean": mean, "var": var,
                          "beta1_power": beta1_power * beta1, "beta2_power": beta2_power * beta2}


@update_op
def monolith_dense_adamom_update(weight: Tensor, grad: Tensor, mean: State, var: State, count: State, *,
                                 lr: float, beta1: float = 0.99, beta2: float = 0.9999, epsilon: float = 1e-6,
                                 wd: float = 0.0) -> Updated:
    """AdaMom, for Monolith's dense variables: momentum over the mean of squares, whose weights `count` sums up."""
    g = grad + wd * weight
    mean = beta1 * mean + (1 - beta1) * g
    var = beta2 * var + abs2(g)
    count = beta2 * count + 1
    return updated(weight - lr * mean / sqrt(var / count + epsilon), mean=mean, var=var, count=count)
