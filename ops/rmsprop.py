"""RMSprop, plain and centered, with and without momentum."""

from symopt.lang import State, Tensor, Updated, abs2, lerp, sqrt, updated
from symopt.opdef import update_op


@update_op
def torch_rmsprop_update(weight: Tensor, grad: Tensor, var: State, *,
                         lr: float = 1e-2, alpha: float = 0.99, epsilon: float = 1e-8, wd: float = 0.0,
                         maximize: bool = False) -> Updated:
    """RMSprop [Hinton 2012] of torch 2.13: epsilon outside the root."""
    g = (-grad if maximize else grad) + wd * weight
    var = alpha * var + (1 - alpha) * abs2(g)
    return updated(weight - lr * g / (sqrt(var) + epsilon), var=var)


@update_op
def torch_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mom: State, *,
                             lr: float = 1e-2, alpha: float = 0.99, epsilon: float = 1e-8, wd: float = 0.0,
                             momentum: float, maximize: bool = False) -> Updated:
    """RMSprop(momentum=...) of torch 2.13: the momentum is of normalised gradients, without lr."""
    g = (-grad if maximize else grad) + wd * weight
    var = alpha * var + (1 - alpha) * abs2(g)
    mom = momentum * mom + g / (sqrt(var) + epsilon)
    return updated(weight - lr * mom, var=var, mom=mom)


@update_op
def torch_rmsprop_centered_update(weight: Tensor, grad: Tensor, var: State, mean: State, *,
                                  lr: float = 1e-2, alpha: float = 0.99, epsilon: float = 1e-8,
                                  wd: float = 0.0, maximize: bool = False) -> Updated:
    """RMSprop(centered=True) [Graves 2013, arXiv:1308.0850] of torch 2.13: epsilon outside the root."""
    g = (-grad if maximize else grad) + wd * weight
    var = alpha * var + (1 - alpha) * abs2(g)
    mean = lerp(mean, g, 1 - alpha)
    return updated(weight - lr * g / (sqrt(var - abs2(mean)) + epsilon), var=var, mean=mean)


@update_op
def torch_rmsprop_centered_mom_update(weight: Tensor, grad: Tensor, var: State, mean: State, mom: State, *,
                                      lr: float = 1e-2, alpha: float = 0.99, epsilon: float = 1e-8,
                                      wd: float = 0.0, momentum: float, maximize: bool = False) -> Updated:
    """RMSprop(centered=True, momentum=...) of torch 2.13."""
    g = (-grad if maximize else grad) + wd * weight
    var = alpha * var + (1 - alpha) * abs2(g)
    mean = lerp(mean, g, 1 - alpha)
    mom = momentum * mom + g / (sqrt(var - abs2(mean)) + epsilon)
    return updated(weight - lr * mom, var=var, mean=mean, mom=mom)
