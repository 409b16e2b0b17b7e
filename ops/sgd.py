"""Gradient descent, with and without momentum."""

from symopt.lang import State, Tensor, Updated, clip, updated
from symopt.opdef import op, update_op


@update_op(aliases=("_sparse_sgd_update",))
def sgd_update(weight: Tensor, grad: Tensor, *,
               lr: float, wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
               lazy_update: bool = True) -> Updated:
    """Gradient descent; MXNet's order: clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    return updated(weight - lr * g)


@update_op(aliases=("_sparse_sgd_mom_update",))
def sgd_mom_update(weight: Tensor, grad: Tensor, mom: State, *,
                   lr: float, momentum: float = 0.0, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0, lazy_update: bool = True) -> Updated:
    """Momentum [Polyak 1964]; MXNet keeps the learning rate inside the accumulated step."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mom = momentum * mom - lr * g
    return updated(weight + mom, mom=mom)


@update_op
def monolith_sgd_update(weight: Tensor, grad: Tensor, *, lr: float) -> Updated:
    """Gradient descent of Monolith: no weight decay."""
    return updated(weight - lr * grad)


@update_op
def monolith_momentum_update(weight: Tensor, grad: Tensor, mom: State, *,
                             lr: float, momentum: float = 0.9, wd: float = 0.0, nesterov: bool = False) -> Updated:
    """Momentum [Polyak 1964] of Monolith, the learning rate inside the accumulated step; nesterov looks ahead."""
    step = momentum * mom - lr * (grad + wd * weight)
    if nesterov:
        return updated(weight + ((1 + momentum) * step - momentum * mom), mom=step)
    return updated(weight + step, mom=step)


@op
def monolith_delay_compensation(grad: Tensor, weight: Tensor, latest: Tensor, *, lambda_: float = 0.0) -> Tensor:
    """The gradient a delayed worker would have found [Zheng et al. 2017, arXiv:1609.08326], for any update.

    `weight` is what the update then changes, `latest` (Monolith's word) the weight that `grad` was computed at.
    """
    return grad + lambda_ * grad * grad * (weight - latest)
