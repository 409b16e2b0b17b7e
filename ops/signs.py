"""Updates that look at signs only."""

from symopt.lang import State, Tensor, Updated, clip, sign, updated
from symopt.opdef import update_op


@update_op(aliases=("mxnet1_signsgd_update",))
def signsgd_update(weight: Tensor, grad: Tensor, *,
                   lr: float, wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                   lazy_update: bool = False) -> Updated:
    """SignSGD [Bernstein et al. 2018, arXiv:1802.04434]; as in MXNet, rescale_grad and clip_gradient do nothing."""
    return updated((1 - lr * wd) * weight - lr * sign(grad))


@update_op(aliases=("mxnet1_signum_update",))
def signum_update(weight: Tensor, grad: Tensor, mom: State, *,
                  lr: float, momentum: float = 0.0, wd: float = 0.0, rescale_grad: float = 1.0,
                  clip_gradient: float = -1.0, wd_lh: float = 0.0, lazy_update: bool = False) -> Updated:
    """Signum [Bernstein et al. 2018]; clip, then decay. MXNet keeps the mean with its sign turned."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mom = momentum * mom - (1 - momentum) * g
    return updated((1 - lr * wd_lh) * weight + lr * sign(mom), mom=mom)


@update_op
def keras3_lion_update(weight: Tensor, grad: Tensor, mean: State, *,
                       lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.99,
                       lazy_update: bool = False) -> Updated:
    """Lion [Chen et al. 2023, arXiv:2302.06675] of Keras 3; weight decay is a step of its own."""
    step = sign(beta1 * mean + (1 - beta1) * grad)
    return updated(weight - lr * step, mean=beta2 * mean + (1 - beta2) * grad)
