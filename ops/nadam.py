"""Nadam: Adam with Nesterov's momentum."""

from symopt.lang import Integer, State, Tensor, Updated, abs2, sqrt, updated
from symopt.opdef import update_op


@update_op(standard=("mean", "var"))
def keras_nadam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, u_product: float, lr: float = 0.001, beta1: float = 0.9,
                       beta2: float = 0.999, epsilon: float = 1e-7, schedule_decay: float = 0.004,
                       schedule_base: float = 0.96) -> Updated:
    """Nadam [Dozat 2016] of Keras up to TF 2.10: mean and var decay in every row, the weight moves lazily.

    With u(t) = beta1 * (1 - schedule_base**(schedule_decay * t) / 2), u_product is u(1) * ... * u(step).
    """
    u = beta1 * (1 - 0.5 * schedule_base**(schedule_decay * step))
    u_next = beta1 * (1 - 0.5 * schedule_base**(schedule_decay * (step + 1)))
    mean = mean + (grad - mean) * (1 - beta1)
    var = var + (abs2(grad) - var) * (1 - beta2)
    ahead = u_next / (1 - u_product * u_next) * mean + (1 - u) / (1 - u_product) * grad
    return updated(weight - lr * ahead / (sqrt(var / (1 - beta2**step)) + epsilon), mean=mean, var=var)


@update_op
def keras3_nadam_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                        step: Integer, u_product: float, lr: float = 0.001, beta1: float = 0.9,
                        beta2: float = 0.999, epsilon: float = 1e-7, schedule_base: float = 0.96,
                        lazy_update: bool = False) -> Updated:
    """keras_nadam_update with schedule_decay = 1 that moves every row: Keras 3."""
    return keras_nadam_update(weight, grad, mean, var, step=step, u_product=u_product, lr=lr, beta1=beta1,
                              beta2=beta2, epsilon=epsilon, schedule_decay=1.0, schedule_base=schedule_base)
