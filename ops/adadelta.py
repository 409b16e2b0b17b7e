"""AdaDelta: steps in the units of the weight."""

from symopt.lang import State, Tensor, Updated, abs2, sqrt, updated
from symopt.opdef import update_op


@update_op
def monolith_adadelta_update(weight: Tensor, grad: Tensor, acc_g: State, acc_delta: State, *,
                             lr: float, rho: float = 0.9, epsilon: float = 0.01, wd: float = 0.0) -> Updated:
    """AdaDelta [Zeiler 2012, arXiv:1212.5701] of Monolith, with a learning rate."""
    g = grad + wd * weight
    acc_g = rho * acc_g + (1 - rho) * abs2(g)
    delta = sqrt(acc_delta + epsilon) / sqrt(acc_g + epsilon) * g
    acc_delta = rho * acc_delta + (1 - rho) * abs2(delta)
    return updated(weight - lr * delta, acc_g=acc_g, acc_delta=acc_delta)
