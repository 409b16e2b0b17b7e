"""Steps of one length: the sign of the gradient, or of an average of it."""

from symopt.lang import State, Tensor, Updated, sign, updated
from symopt.opdef import update_op


@update_op
def keras3_lion_update(weight: Tensor, grad: Tensor, mean: State, *,
                       lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.99,
                       lazy_update: bool = False) -> Updated:
    """Lion [Chen et al. 2023, arXiv:2302.06675] of Keras 3; weight decay is a step of its own."""
    step = sign(beta1 * mean + (1 - beta1) * grad)
    return updated(weight - lr * step, mean=beta2 * mean + (1 - beta2) * grad)
