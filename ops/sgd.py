"""Gradient descent, with and without momentum."""

from symopt.lang import Integer, State, Tensor, Updated, clip, maximum, sqrt, updated, where
from symopt.opdef import op, update_op


@update_op(aliases=("_sparse_sgd_update", "mxnet1_sgd_update"))
def sgd_update(weight: Tensor, grad: Tensor, *,
               lr: float, wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
               lazy_update: bool = True) -> Updated:
    """Gradient descent; MXNet's order: clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    return updated(weight - lr * g)


@update_op(aliases=("_sparse_sgd_mom_update", "mxnet1_sgd_mom_update"))
def sgd_mom_update(weight: Tensor, grad: Tensor, mom: State, *,
                   lr: float, momentum: float = 0.0, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0, lazy_update: bool = True) -> Updated:
    """Momentum [Polyak 1964]; MXNet keeps the learning rate inside the accumulated step."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mom = momentum * mom - lr * g
    return updated(weight + mom, mom=mom)


@update_op(aliases=("mxnet1_nag_mom_update",))
def nag_mom_update(weight: Tensor, grad: Tensor, mom: State, *,
                   lr: float, momentum: float = 0.0, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0, lazy_update: bool = False) -> Updated:
    """Nesterov's momentum [Sutskever et al. 2013]: the accumulated step is taken once more, ahead; clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mom = momentum * mom - lr * g
    return updated(weight + momentum * mom - lr * g, mom=mom)


@update_op(initial={"previous": "weight"})
def dcasgd_update(weight: Tensor, grad: Tensor, mom: State, previous: State, *,
                  lr: float, momentum: float = 0.0, lambda_: float = 0.04, wd: float = 0.0,
                  rescale_grad: float = 1.0, clip_gradient: float = -1.0) -> Updated:
    """Delay-compensated SGD [Zheng et al. 2017, arXiv:1609.08326], as MXNet's optimizer has it; clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mom = momentum * mom - lr * monolith_delay_compensation(g, weight, previous, lambda_=lambda_)
    return updated(weight + mom, mom=mom, previous=weight)


@update_op(initial={"previous": "weight"})
def dcasgd_plain_update(weight: Tensor, grad: Tensor, previous: State, *,
                        lr: float, lambda_: float = 0.04, wd: float = 0.0, rescale_grad: float = 1.0,
                        clip_gradient: float = -1.0) -> Updated:
    """dcasgd_update without momentum: MXNet's class keeps no array for it then."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    return updated(weight - lr * monolith_delay_compensation(g, weight, previous, lambda_=lambda_), previous=weight)


@update_op
def sgld_update(weight: Tensor, grad: Tensor, noise: Tensor, *,
                lr: float, wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                lazy_update: bool = False) -> Updated:
    """Stochastic gradient Langevin dynamics [Welling & Teh 2011], as MXNet 2's optimizer has it; clip, then decay.

    `noise` is drawn anew for each step from N(0, 1); the formula gives it the standard deviation sqrt(lr).
    """
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    return updated(weight - 0.5 * lr * g + sqrt(lr) * noise)


@update_op
def torch_sgd_update(weight: Tensor, grad: Tensor, *,
                     lr: float = 1e-3, wd: float = 0.0, maximize: bool = False) -> Updated:
    """SGD of torch 2.13 without momentum."""
    g = (-grad if maximize else grad) + wd * weight
    return updated(weight - lr * g)


@update_op
def torch_sgd_mom_update(weight: Tensor, grad: Tensor, mom: State, *,
                         step: Integer, momentum: float, lr: float = 1e-3, dampening: float = 0.0,
                         nesterov: bool = False, wd: float = 0.0, maximize: bool = False,
                         lazy_update: bool = False) -> Updated:
    """SGD of torch 2.13 with momentum: `mom` is without lr, and at the first step the gradient, undamped."""
    g = (-grad if maximize else grad) + wd * weight
    mom = where(step == 1, g, momentum * mom + (1 - dampening) * g)
    return updated(weight - lr * (g + momentum * mom if nesterov else mom), mom=mom)


@update_op
def torch_asgd_update(weight: Tensor, grad: Tensor, average: State, *,
                      step: Integer, lr: float = 1e-2, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6,
                      wd: float = 0.0, maximize: bool = False) -> Updated:
    """Averaged SGD [Polyak & Juditsky 1992] of torch 2.13: `average` copies the weight up to step t0 + 2.

    eta is made of this step's lr, while torch keeps it from the step before: they differ in a step after lr changes.
    """
    g = (-grad if maximize else grad) + wd * weight
    eta = lr / (1 + lambd * lr * (step - 1)) ** alpha
    mu = 1 / maximum(step - 1 - t0, 1)
    weight = (1 - lambd * eta) * weight - eta * g
    return updated(weight, average=where(mu == 1, weight, average + mu * (weight - average)))


@update_op(aliases=("keras3_sgd_update",))
def keras_sgd_update(weight: Tensor, grad: Tensor, *, lr: float = 0.01) -> Updated:
    """Gradient descent, as Keras has it: decay and clipping are steps of their own."""
    return updated(weight - lr * grad)


@update_op
def keras_momentum_update(weight: Tensor, grad: Tensor, mom: State, *,
                          lr: float = 0.01, momentum: float = 0.0) -> Updated:
    """Momentum [Polyak 1964]; Keras keeps the learning rate inside the accumulated step. Lazy up to TF 2.10."""
    mom = momentum * mom - lr * grad
    return updated(weight + mom, mom=mom)


@update_op
def keras_nesterov_update(weight: Tensor, grad: Tensor, mom: State, *,
                          lr: float = 0.01, momentum: float = 0.0) -> Updated:
    """Nesterov's momentum [Sutskever et al. 2013], as Keras has it. Lazy up to TF 2.10."""
    mom = momentum * mom - lr * grad
    return updated(weight + momentum * mom - lr * grad, mom=mom)


@update_op
def keras3_momentum_update(weight: Tensor, grad: Tensor, mom: State, *,
                           lr: float = 0.01, momentum: float = 0.0, lazy_update: bool = False) -> Updated:
    """keras_momentum_update that moves every row: Keras 3."""
    return keras_momentum_update(weight, grad, mom, lr=lr, momentum=momentum)


@update_op
def keras3_nesterov_update(weight: Tensor, grad: Tensor, mom: State, *,
                           lr: float = 0.01, momentum: float = 0.0, lazy_update: bool = False) -> Updated:
    """keras_nesterov_update that moves every row: Keras 3."""
    return keras_nesterov_update(weight, grad, mom, lr=lr, momentum=momentum)


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
