"""Adamax: Adam with the infinity norm."""

from symopt.lang import Integer, State, Tensor, Updated, absolute, maximum, updated
from symopt.opdef import update_op


@update_op
def keras_adamax_update(weight: Tensor, grad: Tensor, mean: State, u: State, *,
                        step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                        epsilon: float = 1e-7) -> Updated:
    """Adamax [Kingma & Ba 2015, section 7.1] of Keras. Lazy up to TF 2.10. step counts from 1."""
    mean = mean + (grad - mean) * (1 - beta1)
    u = maximum(beta2 * u, absolute(grad))
    return updated(weight - lr / (1 - beta1**step) * (mean / (u + epsilon)), mean=mean, u=u)


@update_op
def keras3_adamax_update(weight: Tensor, grad: Tensor, mean: State, u: State, *,
                         step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                         epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """keras_adamax_update that moves every row: Keras 3."""
    return keras_adamax_update(weight, grad, mean, u, step=step, lr=lr, beta1=beta1, beta2=beta2,
                               epsilon=epsilon)
