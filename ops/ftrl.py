"""Follow the regularized leader."""

from symopt.lang import State, Tensor, Updated, abs2, absolute, clip, maximum, sign, sqrt, updated
from symopt.opdef import update_op


@update_op(aliases=("_sparse_ftrl_update", "mxnet1_ftrl_update"))
def ftrl_update(weight: Tensor, grad: Tensor, z: State, n: State, *,
                lr: float, lamda1: float = 0.01, beta: float = 1.0, wd: float = 0.0,
                rescale_grad: float = 1.0, clip_gradient: float = -1.0) -> Updated:
    """FTRL-Proximal [McMahan et al. 2013]; wd is the L2 strength and acts in the denominator only."""
    g = clip(rescale_grad * grad, clip_gradient)
    z = z + g - (sqrt(n + abs2(g)) - sqrt(n)) * weight / lr
    n = n + abs2(g)
    shrunk = maximum(absolute(z) - lamda1, 0)
    return updated(-sign(z) * shrunk / ((beta + sqrt(n)) / lr + wd), z=z, n=n)
