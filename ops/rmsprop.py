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


@update_op(standard=("var",))
def keras_rmsprop_update(weight: Tensor, grad: Tensor, var: State, *,
                         lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """RMSprop [Hinton 2012] of Keras up to TF 2.10: without momentum, epsilon outside the root; var never lazy."""
    var = rho * var + (1 - rho) * abs2(grad)
    return updated(weight - lr * grad / (sqrt(var) + epsilon), var=var)


@update_op
def keras_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mom: State, *,
                             lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                             epsilon: float = 1e-7) -> Updated:
    """RMSprop with momentum of Keras up to TF 2.10: epsilon inside the root; all lazy."""
    var = var + (abs2(grad) - var) * (1 - rho)
    mom = momentum * mom + lr * grad / sqrt(var + epsilon)
    return updated(weight - mom, var=var, mom=mom)


@update_op(standard=("var", "mean"))
def keras_centered_rmsprop_update(weight: Tensor, grad: Tensor, var: State, mean: State, *,
                                  lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """Centered RMSprop [Graves 2013, arXiv:1308.0850] of Keras up to TF 2.10: epsilon outside the root.

    Where gradients hardly vary the root is of nearly nothing, or of less: Keras does not guard it.
    """
    var = rho * var + (1 - rho) * abs2(grad)
    mean = rho * mean + (1 - rho) * grad
    return updated(weight - lr * grad / (sqrt(var - abs2(mean)) + epsilon), var=var, mean=mean)


@update_op
def keras_centered_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mean: State, mom: State, *,
                                      lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                                      epsilon: float = 1e-7) -> Updated:
    """Centered RMSprop with momentum of Keras up to TF 2.10: epsilon inside the root; all lazy."""
    var = var + (abs2(grad) - var) * (1 - rho)
    mean = mean + (grad - mean) * (1 - rho)
    mom = momentum * mom + lr * grad / sqrt(var - abs2(mean) + epsilon)
    return updated(weight - mom, var=var, mean=mean, mom=mom)


@update_op(standard=("var",))
def keras3_rmsprop_update(weight: Tensor, grad: Tensor, var: State, *,
                          lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """RMSprop of Keras 3: epsilon inside the root; var decays in every row."""
    var = rho * var + (1 - rho) * abs2(grad)
    return updated(weight - lr * grad / sqrt(var + epsilon), var=var)


@update_op
def keras3_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mom: State, *,
                              lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                              epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """keras_rmsprop_mom_update that moves every row: Keras 3."""
    return keras_rmsprop_mom_update(weight, grad, var, mom, lr=lr, rho=rho, momentum=momentum, epsilon=epsilon)


@update_op(standard=("var", "mean"))
def keras3_centered_rmsprop_update(weight: Tensor, grad: Tensor, var: State, mean: State, *,
                                   lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """Centered RMSprop of Keras 3: epsilon inside the root; var and mean decay in every row."""
    var = rho * var + (1 - rho) * abs2(grad)
    mean = rho * mean + (1 - rho) * grad
    return updated(weight - lr * grad / sqrt(var - abs2(mean) + epsilon), var=var, mean=mean)


@update_op
def keras3_centered_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mean: State, mom: State, *,
                                       lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                                       epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """keras_centered_rmsprop_mom_update that moves every row: Keras 3."""
    return keras_centered_rmsprop_mom_update(weight, grad, var, mean, mom, lr=lr, rho=rho, momentum=momentum,
                                             epsilon=epsilon)


@update_op
def monolith_rmsprop_update(weight: Tensor, grad: Tensor, n: State, *,
                            lr: float, rho: float = 0.9, wd: float = 0.0) -> Updated:
    """RMSProp [Tieleman & Hinton 2012] of Monolith: 1 is added to the root.

    Monolith's code takes the configured constant for lr, whatever the schedule says: give that number for its results.
    """
    g = grad + wd * weight
    n = rho * n + (1 - rho) * abs2(g)
    return updated(weight - lr / (sqrt(n) + 1) * g, n=n)


@update_op
def monolith_rmspropv2_update(weight: Tensor, grad: Tensor, n: State, *,
                              lr: float, rho: float = 0.9, wd: float = 0.0) -> Updated:
    """RMSProp V2 of Monolith: n is a decaying sum of squares, no mean; 1 is added to the root."""
    g = grad + wd * weight
    n = rho * n + abs2(g)
    return updated(weight - lr / (sqrt(n) + 1) * g, n=n)


@update_op
def monolith_dense_rmsprop_update(weight: Tensor, grad: Tensor, mom: State, n: State, *,
                                  lr: float, beta1: float = 0.99, beta2: float = 0.999, epsilon: float = 1e-8,
                                  wd: float = 0.0, v2: bool = False) -> Updated:
    """RMSProp with momentum, for Monolith's dense variables: epsilon inside the root; v2: a sum, and outside."""
    g = grad + wd * weight
    n = beta2 * n + abs2(g) if v2 else n + (1 - beta2) * (abs2(g) - n)
    root = sqrt(n) + epsilon if v2 else sqrt(n + epsilon)
    mom = beta1 * mom + lr * g / root
    return updated(weight - mom, mom=mom, n=n)
