"""Muon: momentum made orthogonal."""

from symopt.lang import State, Tensor, Updated, maximum, row_count, sqrt, updated, where
from symopt.matrices import Matrix, adjoint, column_count, is_tall, matmul, matrix_norm
from symopt.opdef import update_op


@update_op
def keras3_muon_update(weight: Matrix, grad: Tensor, mom: State, *,
                       lr: float = 0.001, momentum: float = 0.95, nesterov: bool = True, ns_steps: int = 5,
                       a: float = 3.4445, b: float = -4.775, c: float = 2.0315, rms_rate: float = 0.2,
                       epsilon: float = 1e-7, wd: float = 0.0) -> Updated:
    """Muon [Jordan et al. 2024, kellerjordan.github.io/posts/muon]; Keras 3, decay apart from the gradient.

    The step is scaled by rms_rate and the root of the larger side where rms_rate >= 0. Each matrix of a stack is made
    orthogonal by itself; Keras takes single matrices only.
    """
    weight = weight - lr * (wd * weight)
    mom = momentum * mom + grad
    x = grad + momentum * mom if nesterov else mom
    x = _orthogonal(x / (matrix_norm(x) + epsilon), ns_steps, a, b, c)
    scale = where(rms_rate >= 0, sqrt(maximum(row_count(x), column_count(x))) * rms_rate, 1)
    return updated(weight - lr * x * scale, mom=mom)


def _orthogonal(x: Tensor, steps: int, a: float, b: float, c: float) -> Tensor:
    """The nearest orthogonal matrix, about, by Newton and Schulz: a x + (b g + c g g) x with g = x x'."""
    wide = adjoint(x) if is_tall(x) else x
    for _ in range(steps):
        gram = matmul(wide, adjoint(wide))
        wide = a * wide + matmul(b * gram + c * matmul(gram, gram), wide)
    return adjoint(wide) if is_tall(x) else wide
