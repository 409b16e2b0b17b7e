"""Steps whose length follows the weight's: LAMB, LANS, LARS. They look at whole tensors."""

from symopt.lang import (
    Integer,
    Scalar,
    State,
    Tensor,
    Updated,
    abs2,
    at_least,
    at_most,
    both,
    clip,
    either,
    norm,
    sqrt,
    updated,
    where,
)
from symopt.opdef import PLURALS, op, update_op

# What MXNet calls the learning rates of its LAMB and LANS on several tensors.
LEARNING_RATES = {**PLURALS, "lr": "learning_rates"}


@update_op(gives="g", aliases=("mxnet1_lamb_update_phase1",))
def lamb_update_phase1(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-6, t: Integer,
                       bias_correction: bool = True, wd: float, rescale_grad: float = 1.0,
                       clip_gradient: float = -1.0, lazy_update: bool = False) -> Updated:
    """The direction g of a LAMB step, for phase 2 to scale; decay is added to it and never clipped."""
    g = clip(rescale_grad * grad, clip_gradient)
    mean, var = _moments(g, mean, var, beta1, beta2)
    direction = _direction(weight, mean, var, beta1, beta2, epsilon, t, bias_correction, wd)
    return updated(direction, mean=mean, var=var)


@update_op(aliases=("mxnet1_lamb_update_phase2",))
def lamb_update_phase2(weight: Tensor, g: Tensor, r1: Scalar, r2: Scalar, *,
                       lr: float, lower_bound: float = -1.0, upper_bound: float = -1.0,
                       lazy_update: bool = False) -> Updated:
    """A LAMB step along g, given r1 = |weight| and r2 = |g|."""
    return updated(weight - lr * _trust_ratio(r1, r2, lower_bound, upper_bound) * g)


@update_op(mxnet="_lamb_update", aliases=("mxnet1_lamb_update",), plurals=LEARNING_RATES, count="num_tensors")
def lamb_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-6, wd: float,
                rescale_grad: float = 1.0, lower_bound: float = -1.0, upper_bound: float = -1.0,
                clip_gradient: float = -1.0, bias_correction: bool = True, t: Integer) -> Updated:
    """LAMB [You et al. 2020, arXiv:1904.00962]: both phases and the norms; what _multi_lamb_update does to a tensor."""
    g = clip(rescale_grad * grad, clip_gradient)
    mean, var = _moments(g, mean, var, beta1, beta2)
    direction = _direction(weight, mean, var, beta1, beta2, epsilon, t, bias_correction, wd)
    ratio = _trust_ratio(norm(weight), norm(direction), lower_bound, upper_bound)
    return updated(weight - lr * ratio * direction, mean=mean, var=var)


@update_op(mxnet="_lans_update", plurals=LEARNING_RATES, count="num_tensors")
def lans_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-6, wd: float,
                rescale_grad: float = 1.0, lower_bound: float = -1.0, upper_bound: float = -1.0,
                clip_gradient: float = -1.0, t: Integer) -> Updated:
    """LANS [Zheng et al. 2020, arXiv:2006.13484]: Nesterov's LAMB. A gradient of zeros gives NaN, as in MXNet."""
    scaled = rescale_grad * grad
    g = clip(scaled / norm(scaled), clip_gradient)
    mean, var = _moments(g, mean, var, beta1, beta2)
    denominator = sqrt(var / (1 - beta2**t)) + epsilon
    by_mean = mean / (1 - beta1**t) / denominator + wd * weight
    by_grad = g / denominator + wd * weight
    mean_ratio = _trust_ratio(norm(weight), norm(by_mean), lower_bound, upper_bound)
    grad_ratio = _trust_ratio(norm(weight), norm(by_grad), lower_bound, upper_bound)
    step = beta1 * mean_ratio * by_mean + (1 - beta1) * grad_ratio * by_grad
    return updated(weight - lr * step, mean=mean, var=var)


def _moments(g: Tensor, mean: Tensor, var: Tensor, beta1: float, beta2: float) -> tuple[Tensor, Tensor]:
    """New means of gradients and of their squares."""
    return beta1 * mean + (1 - beta1) * g, beta2 * var + (1 - beta2) * abs2(g)


def _direction(weight: Tensor, mean: Tensor, var: Tensor, beta1: float, beta2: float, epsilon: float,
               t: Integer, bias_correction: bool, wd: float) -> Tensor:
    """Adam's step with decay added, before it is given a length."""
    if bias_correction:
        mean, var = mean / (1 - beta1**t), var / (1 - beta2**t)
    return mean / (sqrt(var) + epsilon) + wd * weight


def _trust_ratio(weight_norm: Tensor, step_norm: Tensor, lower_bound: float, upper_bound: float) -> Tensor:
    """How many times longer the weight is than the step; 1 where either is zero."""
    r1 = at_most(at_least(weight_norm, lower_bound), upper_bound)
    return where(either(r1 == 0, step_norm == 0), 1, r1 / step_norm)


@update_op
def lars_update(weight: Tensor, grad: Tensor, mom: State, *,
                lr: float, momentum: float = 0.0, eta: float = 0.001, epsilon: float = 1e-8, wd: float = 0.0,
                rescale_grad: float = 1.0, clip_gradient: float = -1.0) -> Updated:
    """LARS [You, Gitman & Ginsburg 2017, arXiv:1708.03888], as MXNet's optimizer has it; clip, then decay."""
    scaled = rescale_grad * grad
    rate = _layer_rate(lr, norm(weight), norm(scaled), 1, wd, eta, epsilon)
    g = clip(scaled, clip_gradient) + wd * weight
    mom = momentum * mom - rate * g
    return updated(weight + mom, mom=mom)


@update_op
def lars_plain_update(weight: Tensor, grad: Tensor, *,
                      lr: float, eta: float = 0.001, epsilon: float = 1e-8, wd: float = 0.0,
                      rescale_grad: float = 1.0, clip_gradient: float = -1.0) -> Updated:
    """lars_update without momentum: MXNet's class keeps no array for it then."""
    scaled = rescale_grad * grad
    rate = _layer_rate(lr, norm(weight), norm(scaled), 1, wd, eta, epsilon)
    return updated(weight - rate * (clip(scaled, clip_gradient) + wd * weight))


@op(aliases=("mxnet1_multi_lars",))
def multi_lars(lrs: Tensor, weights_sum_sq: Tensor, grads_sum_sq: Tensor, wds: Tensor, *,
               eta: float, eps: float, rescale_grad: float = 1.0) -> Tensor:
    """The learning rates of LARS for many tensors, from their sums of squares: four (n,) arrays -> (n,)."""
    return _layer_rate(lrs, sqrt(weights_sum_sq), sqrt(grads_sum_sq), rescale_grad, wds, eta, eps)


def _layer_rate(lr: Tensor | float, weight_norm: Tensor, grad_norm: Tensor, rescale_grad: float,
                wd: Tensor | float, eta: float, epsilon: float) -> Tensor:
    """lr times the trust ratio, or lr where either norm is zero."""
    ratio = eta * weight_norm / (rescale_grad * grad_norm + wd * weight_norm + epsilon)
    return where(both(weight_norm > 0, grad_norm > 0), lr * ratio, lr)


@update_op
def keras3_lamb_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """LAMB [You et al. 2020, arXiv:1904.00962] of Keras 3: weight decay is a step of its own, not in the ratio."""
    mean = mean + (grad - mean) * (1 - beta1)
    var = var + (abs2(grad) - var) * (1 - beta2)
    delta = mean / (1 - beta1**step) / (sqrt(var / (1 - beta2**step)) + epsilon)
    w_norm, d_norm = norm(weight), norm(delta)
    ratio = where(both(w_norm > 0, d_norm > 0), w_norm / d_norm, 1)
    return updated(weight - ratio * lr * delta, mean=mean, var=var)
