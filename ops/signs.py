"""Updates that look at signs only."""

from symopt.lang import State, Tensor, Updated, clip, maximum, minimum, sign, updated, where
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


@update_op(initial={"step_size": 0.01})
def torch_rprop_update(weight: Tensor, grad: Tensor, prev: State, step_size: State, *,
                       etaminus: float = 0.5, etaplus: float = 1.2, step_size_min: float = 1e-6,
                       step_size_max: float = 50.0, maximize: bool = False) -> Updated:
    """Rprop [Riedmiller & Braun 1993] of torch 2.13: where the sign changes there is no step, and the next one is free.

    There is no lr: `step_size` starts as the learning rate.
    """
    g = -grad if maximize else grad
    turn = g * prev
    factor = where(turn > 0, etaplus, where(turn < 0, etaminus, 1))
    step_size = minimum(maximum(step_size * factor, step_size_min), step_size_max)
    g = where(turn < 0, 0, g)
    return updated(weight - sign(g) * step_size, prev=g, step_size=step_size)


@update_op
def keras3_lion_update(weight: Tensor, grad: Tensor, mean: State, *,
                       lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.99,
                       lazy_update: bool = False) -> Updated:
    """Lion [Chen et al. 2023, arXiv:2302.06675] of Keras 3; weight decay is a step of its own."""
    step = sign(beta1 * mean + (1 - beta1) * grad)
    return updated(weight - lr * step, mean=beta2 * mean + (1 - beta2) * grad)
