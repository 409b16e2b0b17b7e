"""Adam and its relatives."""

from symopt.lang import State, Tensor, Updated, abs2, clip, sqrt, updated
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
