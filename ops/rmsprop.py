"""RMSProp, plain and centered."""

from symopt.lang import State, Tensor, Updated, abs2, clip, lerp, sqrt, updated
from symopt.opdef import update_op


@update_op
def rmsprop_update(weight: Tensor, grad: Tensor, n: State, *,
                   lr: float, rho: float = 0.95, epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0, clip_weights: float = -1.0, lazy_update: bool = False) -> Updated:
    """RMSProp [Tieleman & Hinton 2012]; MXNet 2: clip, then decay; epsilon outside the root."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    n = (1 - rho) * abs2(g) + rho * n
    return updated(clip(weight - lr * g / (sqrt(n) + epsilon), clip_weights), n=n)


@update_op
def mxnet1_rmsprop_update(weight: Tensor, grad: Tensor, n: State, *,
                          lr: float, gamma1: float = 0.95, epsilon: float = 1e-8, wd: float = 0.0,
                          rescale_grad: float = 1.0, clip_gradient: float = -1.0, clip_weights: float = -1.0,
                          lazy_update: bool = False) -> Updated:
    """RMSProp of MXNet 1: decay, then clip; epsilon inside the root."""
    g = clip(rescale_grad * grad + wd * weight, clip_gradient)
    n = (1 - gamma1) * abs2(g) + gamma1 * n
    return updated(clip(weight - lr * g / sqrt(n + epsilon), clip_weights), n=n)


@update_op
def rmspropalex_update(weight: Tensor, grad: Tensor, n: State, g: State, delta: State, *,
                       lr: float, rho: float = 0.95, momentum: float = 0.9, epsilon: float = 1e-8, wd: float = 0.0,
                       rescale_grad: float = 1.0, clip_gradient: float = -1.0, clip_weights: float = -1.0,
                       lazy_update: bool = False) -> Updated:
    """Centered RMSProp with momentum [Graves 2013, arXiv:1308.0850]; MXNet 2: clip, then decay.

    In MXNet 2 the state called n is the mean of gradients and g that of their squares; in MXNet 1 as in the paper,
    n that of the squares and g that of gradients.
    """
    x = clip(rescale_grad * grad, clip_gradient) + wd * weight
    n, g, delta = _centered(x, n, g, delta, lr, rho, momentum, epsilon)
    return updated(clip(weight + delta, clip_weights), n=n, g=g, delta=delta)


@update_op
def mxnet1_rmspropalex_update(weight: Tensor, grad: Tensor, n: State, g: State, delta: State, *,
                              lr: float, gamma1: float = 0.95, gamma2: float = 0.9, epsilon: float = 1e-8,
                              wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                              clip_weights: float = -1.0, lazy_update: bool = False) -> Updated:
    """Centered RMSProp of MXNet 1: decay, then clip; n is the mean of squares, g that of gradients."""
    x = clip(rescale_grad * grad + wd * weight, clip_gradient)
    g, n, delta = _centered(x, g, n, delta, lr, gamma1, gamma2, epsilon)
    return updated(clip(weight + delta, clip_weights), n=n, g=g, delta=delta)


def _centered(x: Tensor, mean: Tensor, mean_square: Tensor, delta: Tensor,
              lr: float, rho: float, momentum: float, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """New mean, mean square and step; the mean square about the mean is the variance."""
    mean = (1 - rho) * x + rho * mean
    mean_square = (1 - rho) * abs2(x) + rho * mean_square
    delta = momentum * delta - lr * x / sqrt(mean_square - abs2(mean) + epsilon)
    return mean, mean_square, delta


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
