"""Adam and its relatives."""

from symopt.lang import Integer, State, Tensor, Updated, abs2, clip, maximum, sqrt, updated
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
