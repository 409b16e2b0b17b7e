"""Adam with Nesterov's momentum, and Adam with a rectified start."""

from typing import Any

from symopt.lang import Integer, State, Tensor, Updated, abs2, clip, sqrt, updated, where
from symopt.opdef import Running, update_op

from .adam import torch_moments


def _share(step: Any, decay: float, base: float = 0.96) -> Any:
    """What share of beta1 Nadam's momentum is, which nears 1 as the steps go on."""
    return 1 - 0.5 * base ** (decay * step)


def _torch_factor(step: float, beta1: float, momentum_decay: float) -> Any:
    return beta1 * _share(step, momentum_decay)


def _mxnet_factor(t: float, beta1: float, schedule_decay: float) -> Any:
    return beta1 * _share(t, schedule_decay)


def _keras_factor(step: float, beta1: float, schedule_decay: float, schedule_base: float) -> Any:
    return beta1 * _share(step, schedule_decay, schedule_base)


def _keras3_factor(step: float, beta1: float, schedule_base: float) -> Any:
    return beta1 * _share(step, 1.0, schedule_base)


@update_op(running={"m_schedule": Running(_mxnet_factor, inclusive=True)})
def nadam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                 lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, t: Integer,
                 m_schedule: float, schedule_decay: float = 0.004, wd: float = 0.0, rescale_grad: float = 1.0,
                 clip_gradient: float = -1.0, lazy_update: bool = False) -> Updated:
    """Nadam [Dozat 2016], as MXNet 2's optimizer has it; clip, then decay.

    With mu(t) = beta1 * (1 - 0.96**(schedule_decay * t) / 2), m_schedule is mu(1) * ... * mu(t).
    """
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mu = beta1 * _share(t, schedule_decay)
    mu_next = beta1 * _share(t + 1, schedule_decay)
    mean = beta1 * mean + (1 - beta1) * g
    var = beta2 * var + (1 - beta2) * abs2(g)
    ahead = mu_next / (1 - m_schedule * mu_next) * mean + (1 - mu) / (1 - m_schedule) * g
    return updated(weight - lr * ahead / (sqrt(var / (1 - beta2**t)) + epsilon), mean=mean, var=var)


@update_op(running={"mu_product": Running(_torch_factor, inclusive=False)})
def torch_nadam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, mu_product: float, lr: float = 2e-3, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-8, wd: float = 0.0, momentum_decay: float = 4e-3,
                       decoupled_weight_decay: bool = False, maximize: bool = False) -> Updated:
    """NAdam [Dozat 2016] of torch 2.13: the root is taken of the corrected `var`.

    `mu_product` is what torch keeps under that name when the step begins; mu below is its next factor.
    """
    weight, g, mean, var = torch_moments(
        weight, grad, mean, var, lr, beta1, beta2, wd, decoupled_weight_decay, maximize)
    mu = beta1 * _share(step, momentum_decay)
    mu_next = beta1 * _share(step + 1, momentum_decay)
    product = mu_product * mu
    root = sqrt(var / (1 - beta2**step)) + epsilon
    weight = weight - lr * (1 - mu) / (1 - product) * g / root
    return updated(weight - lr * mu_next / (1 - product * mu_next) * mean / root, mean=mean, var=var)


@update_op
def torch_radam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-8, wd: float = 0.0, decoupled_weight_decay: bool = False,
                       maximize: bool = False) -> Updated:
    """RAdam [Liu et al. 2020] of torch 2.13: rectified when rho > 5, before that momentum with lr as it is."""
    weight, _, mean, var = torch_moments(
        weight, grad, mean, var, lr, beta1, beta2, wd, decoupled_weight_decay, maximize)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)
    rect = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    adaptive = sqrt(1 - beta2**step) / (sqrt(var) + epsilon)
    move = mean / (1 - beta1**step) * lr
    return updated(weight - where(rho > 5, move * adaptive * rect, move), mean=mean, var=var)


@update_op(standard=("mean", "var"), running={"u_product": Running(_keras_factor, inclusive=True)})
def keras_nadam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, u_product: float, lr: float = 0.001, beta1: float = 0.9,
                       beta2: float = 0.999, epsilon: float = 1e-7, schedule_decay: float = 0.004,
                       schedule_base: float = 0.96) -> Updated:
    """Nadam [Dozat 2016] of Keras up to TF 2.10: mean and var decay in every row, the weight moves lazily.

    With u(t) = beta1 * (1 - schedule_base**(schedule_decay * t) / 2), u_product is u(1) * ... * u(step).
    """
    u = beta1 * _share(step, schedule_decay, schedule_base)
    u_next = beta1 * _share(step + 1, schedule_decay, schedule_base)
    mean = mean + (grad - mean) * (1 - beta1)
    var = var + (abs2(grad) - var) * (1 - beta2)
    ahead = u_next / (1 - u_product * u_next) * mean + (1 - u) / (1 - u_product) * grad
    return updated(weight - lr * ahead / (sqrt(var / (1 - beta2**step)) + epsilon), mean=mean, var=var)


@update_op(running={"u_product": Running(_keras3_factor, inclusive=True)})
def keras3_nadam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                        step: Integer, u_product: float, lr: float = 0.001, beta1: float = 0.9,
                        beta2: float = 0.999, epsilon: float = 1e-7, schedule_base: float = 0.96,
                        lazy_update: bool = False) -> Updated:
    """keras_nadam_update with schedule_decay = 1 that moves every row: Keras 3."""
    return keras_nadam_update(weight, grad, mean, var, step=step, u_product=u_product, lr=lr, beta1=beta1,
                              beta2=beta2, epsilon=epsilon, schedule_decay=1.0, schedule_base=schedule_base)
