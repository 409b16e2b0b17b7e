"""Adam with decay apart from the gradient, and AdaBelief."""

from symopt.lang import (
    Integer,
    Scalar,
    State,
    Tensor,
    Updated,
    abs2,
    both,
    clip,
    is_finite,
    minimum,
    sqrt,
    updated,
    where,
)
from symopt.opdef import update_op

from .adam import keras_adam_update, torch_adam_update, torch_amsgrad_update


@update_op(mxnet="_adamw_update", aliases=("mxnet1_adamw_update",))
def adamw_update(weight: Tensor, grad: Tensor, mean: State, var: State, rescale_grad: Scalar, *,
                 lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0,
                 eta: float, clip_gradient: float = -1.0, lazy_update: bool = False) -> Updated:
    """AdamW [Loshchilov & Hutter 2019, arXiv:1711.05101] without bias correction.

    Nothing changes when rescale_grad is NaN, infinite or 0: an overflow found by a loss scaler.
    """
    g = clip(rescale_grad * grad, clip_gradient)
    new_mean = beta1 * mean + (1 - beta1) * g
    new_var = beta2 * var + (1 - beta2) * abs2(g)
    step = eta * (lr * new_mean / (sqrt(new_var) + epsilon) + wd * weight)
    good = _is_usable(rescale_grad)
    return updated(where(good, weight - step, weight),
                   mean=where(good, new_mean, mean), var=where(good, new_var, var))


@update_op(mxnet="_adabelief_update")
def adabelief_update(weight: Tensor, grad: Tensor, mean: State, var: State, rescale_grad: Scalar, *,
                     lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0,
                     eta: float, clip_gradient: float = -1.0, lazy_update: bool = False) -> Updated:
    """AdaBelief [Zhuang et al. 2020, arXiv:2010.07468] without bias correction; MXNet 2: decay, then clip.

    Nothing changes when rescale_grad is NaN, infinite or 0: an overflow found by a loss scaler.
    """
    g = clip(rescale_grad * grad + wd * weight, clip_gradient)
    new_mean = beta1 * mean + (1 - beta1) * g
    new_var = beta2 * var + (1 - beta2) * abs2(g - new_mean) + epsilon
    step = eta * lr * new_mean / (sqrt(new_var) + epsilon)
    good = _is_usable(rescale_grad)
    return updated(where(good, weight - step, weight),
                   mean=where(good, new_mean, mean), var=where(good, new_var, var))


def _is_usable(rescale_grad: Scalar) -> Tensor:
    return both(is_finite(rescale_grad), rescale_grad != 0)


@update_op
def torch_adamw_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-8, wd: float = 0.01, maximize: bool = False) -> Updated:
    """AdamW of torch 2.13 [Loshchilov & Hutter 2019]: first the weight shrinks by lr * wd, then Adam of torch."""
    return torch_adam_update(weight, grad, mean, var, step=step, lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon,
                             wd=wd, decoupled_weight_decay=True, maximize=maximize)


@update_op
def torch_adamw_amsgrad_update(weight: Tensor, grad: Tensor, mean: State, var: State, max_var: State, *,
                               step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                               epsilon: float = 1e-8, wd: float = 0.01, maximize: bool = False) -> Updated:
    """AdamW(amsgrad=True) of torch 2.13: first the weight shrinks by lr * wd, then AMSGrad of torch."""
    return torch_amsgrad_update(weight, grad, mean, var, max_var, step=step, lr=lr, beta1=beta1, beta2=beta2,
                                epsilon=epsilon, wd=wd, decoupled_weight_decay=True, maximize=maximize)


@update_op
def keras3_adamw_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                        step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                        epsilon: float = 1e-7, wd: float = 0.004, lazy_update: bool = False) -> Updated:
    """AdamW [Loshchilov & Hutter 2019] of Keras 3: the weight decays by lr * wd, then Adam."""
    return keras_adam_update(weight - weight * (wd * lr), grad, mean, var, step=step, lr=lr, beta1=beta1,
                             beta2=beta2, epsilon=epsilon)


@update_op(initial={"z": "weight"})
def keras3_schedule_free_adamw_update(weight: Tensor, grad: Tensor, z: State, var: State, *,
                                      step: Integer, lr: float = 0.0025, beta1: float = 0.9,
                                      beta2: float = 0.999, epsilon: float = 1e-8,
                                      warmup_steps: Integer = 0, lazy_update: bool = False) -> Updated:
    """Schedule-free AdamW [Defazio et al. 2024, arXiv:2405.15682] with Keras 3's weights 1 / step of the average.

    weight is the paper's y; z starts as a copy of it. The average x, which is what to evaluate, is
    (weight - (1 - beta1) * z) / beta1 of the new values. Weight decay is a step of its own.
    """
    x = (weight - (1 - beta1) * z) / beta1
    var = var + (abs2(grad) - var) * (1 - beta2)
    rate = lr * minimum(step / warmup_steps, 1)
    z = z - rate * grad / (sqrt(var / (1 - beta2**step)) + epsilon)
    x = (1 - 1 / step) * x + 1 / step * z
    return updated((1 - beta1) * z + beta1 * x, z=z, var=var)
