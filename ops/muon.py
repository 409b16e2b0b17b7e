"""Muon: momentum made orthogonal. Each matrix of a stack is a matrix by itself."""

from symopt.lang import State, Tensor, Updated, lerp, maximum, row_count, sqrt, updated, where
from symopt.matrices import Matrix, adjoint, column_count, is_tall, matmul, matrix_norm
from symopt.opdef import update_op


@update_op
def keras3_muon_update(weight: Matrix, grad: Tensor, mom: State, *,
                       lr: float = 0.001, momentum: float = 0.95, nesterov: bool = True, ns_steps: int = 5,
                       a: float = 3.4445, b: float = -4.775, c: float = 2.0315, rms_rate: float = 0.2,
                       epsilon: float = 1e-7, wd: float = 0.0) -> Updated:
    """Muon [Jordan et al. 2024, kellerjordan.github.io/posts/muon]; Keras 3, decay before anything else.

    Where rms_rate >= 0, the step is scaled by it and by the root of the matrix's longer side.
    """
    weight = weight - lr * (wd * weight)
    mom = momentum * mom + grad
    x = grad + momentum * mom if nesterov else mom
    x = _orthogonal(x / (matrix_norm(x) + epsilon), ns_steps, a, b, c)
    scale = where(rms_rate >= 0, sqrt(maximum(row_count(x), column_count(x))) * rms_rate, 1)
    return updated(weight - lr * x * scale, mom=mom)


@update_op
def torch_muon_update(weight: Matrix, grad: Tensor, momentum_buffer: State, *,
                      lr: float = 1e-3, momentum: float = 0.95, nesterov: bool = True, ns_steps: int = 5,
                      a: float = 3.4445, b: float = -4.775, c: float = 2.0315, epsilon: float = 1e-7,
                      wd: float = 0.1, adjust_lr_fn: str = "original") -> Updated:
    """Muon of torch 2.13, but the iteration is in the dtype of the computation, where torch's is in bfloat16.

    adjust_lr_fn: "original" (the root of rows per column, at least 1) or "match_rms_adamw" (0.2 times the root of the
    longer side).
    """
    momentum_buffer = lerp(momentum_buffer, grad, 1 - momentum)
    x = lerp(grad, momentum_buffer, momentum) if nesterov else momentum_buffer
    x = _orthogonal(x / maximum(matrix_norm(x), epsilon), ns_steps, a, b, c)
    if adjust_lr_fn == "original":
        scale = sqrt(maximum(column_count(x) / row_count(x), 1))
    elif adjust_lr_fn == "match_rms_adamw":
        scale = 0.2 * sqrt(maximum(row_count(x), column_count(x)))
    else:
        raise ValueError(f"adjust_lr_fn = {adjust_lr_fn!r} must be 'original' or 'match_rms_adamw'")
    return updated(weight - lr * (wd * weight) - lr * scale * x, momentum_buffer=momentum_buffer)


def _orthogonal(x: Tensor, steps: int, a: float, b: float, c: float) -> Tensor:
    """Nearly the nearest orthogonal matrix, by Newton and Schulz: steps x -> a x + (b g + c g g) x, where g = x x'."""
    wide = adjoint(x) if is_tall(x) else x
    for _ in range(steps):
        gram = matmul(wide, adjoint(wide))
        wide = a * wide + matmul(b * gram + c * matmul(gram, gram), wide)
    return adjoint(wide) if is_tall(x) else wide
