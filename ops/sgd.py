"""Gradient descent, with and without momentum."""

from symopt.lang import State, Tensor, Updated, clip, updated
from symopt.opdef import update_op


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
