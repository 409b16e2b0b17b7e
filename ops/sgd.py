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
