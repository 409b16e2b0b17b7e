"""Adam with Nesterov's momentum, and Adam with a rectified start."""

from symopt.lang import Integer, State, Tensor, Updated, abs2, lerp, sqrt, updated, where
from symopt.opdef import update_op


@update_op
def torch_nadam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, mu_product: float, lr: float = 2e-3, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-8, wd: float = 0.0, momentum_decay: float = 4e-3,
                       decoupled_weight_decay: bool = False, maximize: bool = False) -> Updated:
    """NAdam [Dozat 2016] of torch 2.13: the root is taken of the corrected `var`.

    `mu_product` is what torch keeps under that name when the step begins; mu below is its next factor.
    """
    g = -grad if maximize else grad
    if decoupled_weight_decay:
        weight = (1 - lr * wd) * weight
    else:
        g = g + wd * weight
    mu = beta1 * (1 - 0.5 * 0.96 ** (step * momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * momentum_decay))
    product = mu_product * mu
    mean = lerp(mean, g, 1 - beta1)
    var = beta2 * var + (1 - beta2) * abs2(g)
    root = sqrt(var / (1 - beta2**step)) + epsilon
    weight = weight - lr * (1 - mu) / (1 - product) * g / root
    return updated(weight - lr * mu_next / (1 - product * mu_next) * mean / root, mean=mean, var=var)


@update_op
def torch_radam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-8, wd: float = 0.0, decoupled_weight_decay: bool = False,
                       maximize: bool = False) -> Updated:
    """RAdam [Liu et al. 2020] of torch 2.13: rectified when rho > 5, before that momentum with lr as it is."""
    g = -grad if maximize else grad
    if decoupled_weight_decay:
        weight = (1 - lr * wd) * weight
    else:
        g = g + wd * weight
    mean = lerp(mean, g, 1 - beta1)
    var = beta2 * var + (1 - beta2) * abs2(g)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * step * beta2**step / (1 - beta2**step)
    rect = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    adaptive = sqrt(1 - beta2**step) / (sqrt(var) + epsilon)
    move = mean / (1 - beta1**step) * lr
    return updated(weight - where(rho > 5, move * adaptive * rect, move), mean=mean, var=var)
