"""Follow the regularized leader."""

from collections.abc import Callable

from symopt.lang import (
    State,
    Tensor,
    Updated,
    abs2,
    absolute,
    clip,
    maximum,
    row_norm,
    sign,
    sqrt,
    updated,
    where,
)
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


def _keras_ftrl(weight: Tensor, grad: Tensor, z: Tensor, n: Tensor, root: Callable[[Tensor], Tensor],
                lr: float, l1: float, l2: float, shrinkage: float, beta: float) -> Updated:
    """Keras doubles both L2 strengths, and makes the weight from z alone: a row with z = 0 becomes 0."""
    new_n = n + abs2(grad)
    z = z + (grad + 2 * shrinkage * weight) - (root(new_n) - root(n)) / lr * weight
    curvature = root(new_n) / lr + 2 * (l2 + beta / (2 * lr))
    return updated((clip(z, l1) - z) / curvature, z=z, n=new_n)


@update_op(initial={"n": 0.1})
def keras_ftrl_update(weight: Tensor, grad: Tensor, z: State, n: State, *,
                      lr: float = 0.001, l1_regularization_strength: float = 0.0,
                      l2_regularization_strength: float = 0.0,
                      l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0) -> Updated:
    """FTRL-Proximal [McMahan et al. 2013] of Keras with learning_rate_power = -0.5; lazy up to TF 2.10.

    n (Keras: accumulator) starts at 0.1. A weight whose z is 0 becomes 0, whatever it was.
    """
    return _keras_ftrl(weight, grad, z, n, sqrt, lr, l1_regularization_strength, l2_regularization_strength,
                       l2_shrinkage_regularization_strength, beta)


@update_op(initial={"n": 0.1})
def keras3_ftrl_update(weight: Tensor, grad: Tensor, z: State, n: State, *,
                       lr: float = 0.001, l1_regularization_strength: float = 0.0,
                       l2_regularization_strength: float = 0.0,
                       l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0,
                       lazy_update: bool = False) -> Updated:
    """keras_ftrl_update that makes every row anew: Keras 3."""
    return _keras_ftrl(weight, grad, z, n, sqrt, lr, l1_regularization_strength, l2_regularization_strength,
                       l2_shrinkage_regularization_strength, beta)


@update_op(initial={"n": 0.1})
def keras_ftrl_power_update(weight: Tensor, grad: Tensor, z: State, n: State, *,
                            lr: float = 0.001, learning_rate_power: float = -0.5,
                            l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0,
                            l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0) -> Updated:
    """keras_ftrl_update with any power in place of the root: slower, and the last digit is the platform's."""
    return _keras_ftrl(weight, grad, z, n, lambda x: x**-learning_rate_power, lr, l1_regularization_strength,
                       l2_regularization_strength, l2_shrinkage_regularization_strength, beta)


@update_op(initial={"n": 0.1})
def keras3_ftrl_power_update(weight: Tensor, grad: Tensor, z: State, n: State, *,
                             lr: float = 0.001, learning_rate_power: float = -0.5,
                             l1_regularization_strength: float = 0.0, l2_regularization_strength: float = 0.0,
                             l2_shrinkage_regularization_strength: float = 0.0, beta: float = 0.0,
                             lazy_update: bool = False) -> Updated:
    """keras_ftrl_power_update that makes every row anew: Keras 3."""
    return _keras_ftrl(weight, grad, z, n, lambda x: x**-learning_rate_power, lr, l1_regularization_strength,
                       l2_regularization_strength, l2_shrinkage_regularization_strength, beta)


def _leader(weight: Tensor, grad: Tensor, z: Tensor, n: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """The new z and n of FTRL-Proximal."""
    new_n = n + abs2(grad)
    return z + grad - (sqrt(new_n) - sqrt(n)) / lr * weight, new_n


@update_op(initial={"n": 0.1})
def monolith_ftrl_update(weight: Tensor, grad: Tensor, z: State, n: State, *,
                         lr: float, beta: float = 0.0, l1: float = 0.0, l2: float = 0.0,
                         published: bool = False) -> Updated:
    """FTRL-Proximal [McMahan et al. 2013] of Monolith: no weight decay; n starts at 0.1.

    published: as Monolith's code has it, with signbit(z) for the paper's sign(z): l1 does not shrink z > 0, and moves
    the weights of z < 0 away from zero.
    """
    z, n = _leader(weight, grad, z, n, lr)
    side = where(z < 0, 1, 0) if published else sign(z)
    kept = lr * (side * l1 - z) / (sqrt(n) + beta + l2 * lr)
    return updated(where(absolute(z) <= l1, 0, kept), z=z, n=n)


@update_op
def monolith_group_ftrl_update(weight: Tensor, grad: Tensor, z: State, n: State, *,
                               lr: float, beta: float = 1.0, l1: float = 0.0, l2: float = 0.0) -> Updated:
    """FTRL with group sparsity of Monolith: l1 shrinks the Euclidean norm of each row of z. n starts at 0."""
    z, n = _leader(weight, grad, z, n, lr)
    length = row_norm(z)
    shrunk = where(length <= l1, 0, (l1 - length) / length)
    return updated(lr * z * shrunk / (beta + sqrt(n) + l2 * lr), z=z, n=n)
