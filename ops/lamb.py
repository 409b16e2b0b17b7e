"""Layer-wise learning rates: the step scaled by the norm of the weight."""

from symopt.lang import Integer, State, Tensor, Updated, abs2, both, norm, sqrt, updated, where
from symopt.opdef import update_op


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
