"""RMSProp."""

from symopt.lang import State, Tensor, Updated, abs2, sqrt, updated
from symopt.opdef import update_op


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
