"""Adam and its relatives."""

from symopt.lang import Integer, RowState, State, Tensor, Updated, abs2, clip, lerp, maximum, sqrt, updated
from symopt.opdef import update_op


@update_op(aliases=("_sparse_adam_update",))
def adam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
                wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                lazy_update: bool = True) -> Updated:
    """Adam without bias correction [Kingma & Ba 2015, arXiv:1412.6980]; MXNet 2 order: clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mean = beta1 * mean + (1 - beta1) * g
    var = beta2 * var + (1 - beta2) * abs2(g)
    return updated(weight - lr * mean / (sqrt(var) + epsilon), mean=mean, var=var)


@update_op
def mxnet1_adam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       lr: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
                       wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                       lazy_update: bool = True) -> Updated:
    """Adam of MXNet 1: the decay is added before the clip."""
    g = clip(rescale_grad * grad + wd * weight, clip_gradient)
    mean = beta1 * mean + (1 - beta1) * g
    var = beta2 * var + (1 - beta2) * abs2(g)
    return updated(weight - lr * mean / (sqrt(var) + epsilon), mean=mean, var=var)


@update_op
def ftml_update(weight: Tensor, grad: Tensor, d: State, v: State, z: State, *,
                lr: float, beta1: float = 0.6, beta2: float = 0.999, epsilon: float = 1e-8, t: Integer,
                wd: float = 0.0, rescale_grad: float = 1.0, clip_grad: float = -1.0,
                lazy_update: bool = False) -> Updated:
    """Follow the moving leader [Zheng & Kwok 2017]; MXNet 2: clip, then decay."""
    g = clip(rescale_grad * grad, clip_grad) + wd * weight
    return _moving_leader(weight, g, d, v, z, lr, beta1, beta2, epsilon, t)


@update_op
def mxnet1_ftml_update(weight: Tensor, grad: Tensor, d: State, v: State, z: State, *,
                       lr: float, beta1: float = 0.6, beta2: float = 0.999, epsilon: float = 1e-8, t: Integer,
                       wd: float = 0.0, rescale_grad: float = 1.0, clip_grad: float = -1.0,
                       lazy_update: bool = False) -> Updated:
    """FTML of MXNet 1: the decay is added before the clip."""
    g = clip(rescale_grad * grad + wd * weight, clip_grad)
    return _moving_leader(weight, g, d, v, z, lr, beta1, beta2, epsilon, t)


def _moving_leader(weight: Tensor, g: Tensor, d: Tensor, v: Tensor, z: Tensor,
                   lr: float, beta1: float, beta2: float, epsilon: float, t: Integer) -> Updated:
    """FTML from the gradient it sees on: d is a curvature, z a sum of gradients that is minimised in closed form."""
    v = beta2 * v + (1 - beta2) * abs2(g)
    new_d = (1 - beta1**t) / lr * (sqrt(v / (1 - beta2**t)) + epsilon)
    z = beta1 * z + (1 - beta1) * g - (new_d - beta1 * d) * weight
    return updated(-z / new_d, d=new_d, v=v, z=z)


def torch_moments(weight: Tensor, grad: Tensor, mean: Tensor, var: Tensor, lr: float, beta1: float, beta2: float,
                  wd: float, decoupled: bool, maximize: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What Adams of torch begin with: the weight, shrunk if decay is decoupled, the gradient, and the new moments."""
    g = -grad if maximize else grad
    if decoupled:
        weight = (1 - lr * wd) * weight
    else:
        g = g + wd * weight
    return weight, g, lerp(mean, g, 1 - beta1), beta2 * var + (1 - beta2) * abs2(g)


@update_op
def torch_adam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                      step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                      epsilon: float = 1e-8, wd: float = 0.0, decoupled_weight_decay: bool = False,
                      maximize: bool = False) -> Updated:
    """Adam of torch 2.13 [Kingma & Ba 2015]: biases corrected, epsilon beside the corrected root."""
    weight, _, mean, var = torch_moments(
        weight, grad, mean, var, lr, beta1, beta2, wd, decoupled_weight_decay, maximize)
    root = sqrt(var) / sqrt(1 - beta2**step)
    return updated(weight - lr / (1 - beta1**step) * mean / (root + epsilon), mean=mean, var=var)


@update_op
def torch_amsgrad_update(weight: Tensor, grad: Tensor, mean: State, var: State, max_var: State, *,
                         step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                         epsilon: float = 1e-8, wd: float = 0.0, decoupled_weight_decay: bool = False,
                         maximize: bool = False) -> Updated:
    """AMSGrad [Reddi, Kale & Kumar 2018], Adam(amsgrad=True) of torch 2.13: the largest `var`, then its correction."""
    weight, _, mean, var = torch_moments(
        weight, grad, mean, var, lr, beta1, beta2, wd, decoupled_weight_decay, maximize)
    max_var = maximum(max_var, var)
    root = sqrt(max_var) / sqrt(1 - beta2**step)
    return updated(weight - lr / (1 - beta1**step) * mean / (root + epsilon), mean=mean, var=var, max_var=max_var)


@update_op
def torch_sparse_adam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                             step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                             epsilon: float = 1e-8, maximize: bool = False) -> Updated:
    """SparseAdam of torch 2.13: only the rows listed, and both corrections in the rate, so epsilon is not corrected."""
    g = -grad if maximize else grad
    mean = mean + (1 - beta1) * (g - mean)
    var = var + (1 - beta2) * (abs2(g) - var)
    rate = lr * sqrt(1 - beta2**step) / (1 - beta1**step)
    return updated(weight - rate * (mean / (sqrt(var) + epsilon)), mean=mean, var=var)


@update_op(aliases=("keras3_adam_update",))
def keras_adam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                      step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                      epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """Adam of Keras: epsilon is the paper's epsilon-hat, not scaled by the bias correction. step counts from 1."""
    mean = mean + (grad - mean) * (1 - beta1)
    var = var + (abs2(grad) - var) * (1 - beta2)
    rate = lr * sqrt(1 - beta2**step) / (1 - beta1**step)
    return updated(weight - rate * mean / (sqrt(var) + epsilon), mean=mean, var=var)


@update_op(aliases=("keras3_amsgrad_update",))
def keras_amsgrad_update(weight: Tensor, grad: Tensor, mean: State, var: State, max_var: State, *,
                         step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                         epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """AMSGrad [Reddi, Kale & Kumar 2018] of Keras: the largest var so far is taken before bias correction."""
    mean = mean + (grad - mean) * (1 - beta1)
    var = var + (abs2(grad) - var) * (1 - beta2)
    max_var = maximum(max_var, var)
    rate = lr * sqrt(1 - beta2**step) / (1 - beta1**step)
    return updated(weight - rate * mean / (sqrt(max_var) + epsilon), mean=mean, var=var, max_var=max_var)


@update_op(initial={"beta1_power": "beta1", "beta2_power": "beta2"})
def monolith_adam_update(weight: Tensor, grad: Tensor, mean: State, var: State,
                         beta1_power: RowState, beta2_power: RowState, *,
                         lr: float, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 0.01,
                         wd: float = 0.0, nesterov: bool = False) -> Updated:
    """Adam of Monolith: biases are corrected by the number of updates that a row itself has had.

    The powers start at beta1 and beta2. Epsilon is added to the root of the uncorrected var.
    """
    g = grad + wd * weight
    step, states = _counted_by_row(g, mean, var, beta1_power, beta2_power, lr, beta1, beta2, nesterov)
    return updated(weight - step / (sqrt(states["var"]) + epsilon), **states)


@update_op(initial={"beta1_power": "beta1", "beta2_power": "beta2"})
def monolith_amsgrad_update(weight: Tensor, grad: Tensor, mean: State, var: State, max_var: State,
                            beta1_power: RowState, beta2_power: RowState, *,
                            lr: float, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 0.01,
                            wd: float = 0.0, nesterov: bool = False) -> Updated:
    """AMSGrad [Reddi, Kale & Kumar 2018] of Monolith: its Adam, divided by the root of the largest var so far."""
    g = grad + wd * weight
    step, states = _counted_by_row(g, mean, var, beta1_power, beta2_power, lr, beta1, beta2, nesterov)
    max_var = maximum(max_var, states["var"])
    return updated(weight - step / (sqrt(max_var) + epsilon), max_var=max_var, **states)


def _counted_by_row(g: Tensor, mean: Tensor, var: Tensor, beta1_power: Tensor, beta2_power: Tensor,
                    lr: float, beta1: float, beta2: float, nesterov: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Adam's step but for its denominator, and the new states."""
    mean = mean + (1 - beta1) * (g - mean)
    var = var + (1 - beta2) * (abs2(g) - var)
    rate = lr * sqrt(1 - beta2_power) / (1 - beta1_power)
    ahead = beta1 * mean + (1 - beta1) * g if nesterov else mean
    return rate * ahead, {"mean": mean, "var": var,
                          "beta1_power": beta1_power * beta1, "beta2_power": beta2_power * beta2}


@update_op
def monolith_dense_adamom_update(weight: Tensor, grad: Tensor, mean: State, var: State, count: State, *,
                                 lr: float, beta1: float = 0.99, beta2: float = 0.9999, epsilon: float = 1e-6,
                                 wd: float = 0.0) -> Updated:
    """AdaMom, for Monolith's dense variables: momentum over the mean of squares, whose weights `count` sums up."""
    g = grad + wd * weight
    mean = beta1 * mean + (1 - beta1) * g
    var = beta2 * var + abs2(g)
    count = beta2 * count + 1
    return updated(weight - lr * mean / sqrt(var / count + epsilon), mean=mean, var=var, count=count)
