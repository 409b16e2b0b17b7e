"""Server rules of federated learning: one step per round, on the mean of what the clients changed.

`grad` is the pseudo-gradient, old weights minus the clients' weighted mean: it points where a gradient does, since
clients walk downhill. The papers write its negative, Delta, and add where a descent subtracts. With lr = 1 and plain
SGD (`torch_sgd_update`) the new weight is the clients' mean: FedAvg.
"""

from symopt.lang import State, Tensor, Updated, abs2, sign, sqrt, updated
from symopt.opdef import update_op

# v_{-1} >= tau**2, and this is the square of the default tau.
_START = {"var": 1e-6}


@update_op(initial=_START)
def fedadam_update(
    weight: Tensor,
    grad: Tensor,
    mean: State,
    var: State,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.99,
    tau: float = 1e-3,
) -> Updated:
    """FedAdam [Reddi et al. 2021, arXiv:2003.00295, Algorithm 2]: no bias correction. `grad` is the pseudo-gradient.

    `var` starts at tau**2 or above: at 1e-6 unless told otherwise.
    """
    mean = beta1 * mean + (1 - beta1) * grad
    var = beta2 * var + (1 - beta2) * abs2(grad)
    return updated(weight - lr * mean / (sqrt(var) + tau), mean=mean, var=var)


@update_op(initial=_START)
def fedyogi_update(
    weight: Tensor,
    grad: Tensor,
    mean: State,
    var: State,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.99,
    tau: float = 1e-3,
) -> Updated:
    """FedYogi [Reddi et al. 2021, arXiv:2003.00295, Algorithm 2]: `var` moves by the square, whatever its distance.

    `grad` is the pseudo-gradient. `var` starts at tau**2 or above: at 1e-6 unless told otherwise.
    """
    mean = beta1 * mean + (1 - beta1) * grad
    square = abs2(grad)
    var = var - (1 - beta2) * square * sign(var - square)
    return updated(weight - lr * mean / (sqrt(var) + tau), mean=mean, var=var)


@update_op(initial=_START)
def fedadagrad_update(
    weight: Tensor, grad: Tensor, mean: State, var: State, *, lr: float, beta1: float = 0.0, tau: float = 1e-3
) -> Updated:
    """FedAdagrad [Reddi et al. 2021, arXiv:2003.00295, Algorithm 2]: the squares of all rounds, none forgotten.

    `grad` is the pseudo-gradient. `var` starts at tau**2 or above: at 1e-6 unless told otherwise.
    """
    mean = beta1 * mean + (1 - beta1) * grad
    var = var + abs2(grad)
    return updated(weight - lr * mean / (sqrt(var) + tau), mean=mean, var=var)
