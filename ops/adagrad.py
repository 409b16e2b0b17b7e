"""AdaGrad, with one accumulator per element or per row."""

from symopt.lang import (
    Integer,
    RowState,
    State,
    Tensor,
    Updated,
    abs2,
    clip,
    column,
    floor,
    row_count,
    row_max,
    row_mean,
    row_norm,
    sqrt,
    updated,
    where,
)
from symopt.opdef import update_op


@update_op(mxnet="_sparse_adagrad_update")
def adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                   lr: float, epsilon: float = 1e-7, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0) -> Updated:
    """AdaGrad [Duchi, Hazan & Singer 2011]; MXNet 2: epsilon outside the root, clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    history = history + abs2(g)
    return updated(weight - lr * g / (sqrt(history) + epsilon), history=history)


@update_op(mxnet="_contrib_group_adagrad_update")
def group_adagrad_update(weight: Tensor, grad: Tensor, history: RowState, *,
                         lr: float, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                         epsilon: float = 1e-5) -> Updated:
    """AdaGrad with one accumulator per row, the mean of the row's squares; MXNet 2: epsilon outside the root."""
    g = clip(rescale_grad * grad, clip_gradient)
    history = history + row_mean(abs2(g))
    return updated(weight - lr * g / (sqrt(history) + epsilon), history=history)


@update_op
def mxnet1_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                          lr: float, epsilon: float = 1e-7, wd: float = 0.0, rescale_grad: float = 1.0,
                          clip_gradient: float = -1.0) -> Updated:
    """AdaGrad of MXNet 1: epsilon inside the root."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    history = history + abs2(g)
    return updated(weight - lr * g / sqrt(history + epsilon), history=history)


@update_op
def mxnet1_group_adagrad_update(weight: Tensor, grad: Tensor, history: RowState, *,
                                lr: float, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                                epsilon: float = 1e-5) -> Updated:
    """Group AdaGrad of MXNet 1: epsilon inside the root."""
    g = clip(rescale_grad * grad, clip_gradient)
    history = history + row_mean(abs2(g))
    return updated(weight - lr * g / sqrt(history + epsilon), history=history)


@update_op
def torch_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                         step: Integer, lr: float = 1e-2, lr_decay: float = 0.0, epsilon: float = 1e-10,
                         wd: float = 0.0, maximize: bool = False) -> Updated:
    """AdaGrad of torch 2.13: epsilon outside the root; the rate falls as 1 / (1 + (step - 1) * lr_decay)."""
    g = (-grad if maximize else grad) + wd * weight
    history = history + abs2(g)
    rate = lr / (1 + (step - 1) * lr_decay)
    return updated(weight - rate * g / (sqrt(history) + epsilon), history=history)


@update_op(initial={"history": 0.1})
def keras_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                         lr: float = 0.001, epsilon: float = 1e-7) -> Updated:
    """AdaGrad of Keras up to TF 2.10: epsilon outside the root. The history starts at 0.1."""
    history = history + abs2(grad)
    return updated(weight - lr * grad / (sqrt(history) + epsilon), history=history)


@update_op(initial={"history": 0.1})
def keras3_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                          lr: float = 0.001, epsilon: float = 1e-7) -> Updated:
    """AdaGrad of Keras 3: epsilon inside the root. The history starts at 0.1."""
    history = history + abs2(grad)
    return updated(weight - lr * grad / sqrt(history + epsilon), history=history)


@update_op(initial={"history": 0.1})
def monolith_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                            lr: float, wd: float = 0.0, published: bool = False) -> Updated:
    """AdaGrad of Monolith: no epsilon; where the history is 0 there is no step. The history starts at 0.1.

    published: as Monolith's AVX code has it, whole blocks of 8 columns move by the gradient without decay, the rest
    with it, and a history of 0 gives NaN.
    """
    g = grad + wd * weight
    history = history + abs2(g)
    if published:
        in_block = column(grad) < 8 * floor(row_count(grad) / 8)
        return updated(weight - lr / sqrt(history) * where(in_block, grad, g), history=history)
    return updated(weight - _step(g, history, lr), history=history)


def _step(g: Tensor, history: Tensor, lr: float) -> Tensor:
    """AdaGrad's step without an epsilon; none where nothing has come yet."""
    return where(history == 0, 0, lr / sqrt(history) * g)


@update_op(initial={"history": 0.1})
def monolith_dynamic_wd_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                                       lr: float, wd: float = 0.0, decoupled_weight_decay: bool = True) -> Updated:
    """AdaGrad of Monolith with decoupled decay, or as monolith_adagrad_update has it."""
    if not decoupled_weight_decay:
        return monolith_adagrad_update(weight, grad, history, lr=lr, wd=wd)
    history = history + abs2(grad)
    return updated(weight - (_step(grad, history, lr) + lr * wd * weight), history=history)


@update_op(initial={"history": 0.1})
def monolith_rowwise_adagrad_update(weight: Tensor, grad: Tensor, history: RowState, *,
                                    lr: float, wd: float = 0.0, decoupled_weight_decay: bool = False) -> Updated:
    """monolith_adagrad_update with one accumulator per row, which takes in the mean of the row's squares.

    symopt's meaning of hessian_compression_times, which Monolith keeps and never reads: a row is cut into blocks of
    that many columns, each a row of this rule. decoupled_weight_decay: as in monolith_dynamic_wd_adagrad_update.
    """
    g = grad if decoupled_weight_decay else grad + wd * weight
    history = history + row_mean(abs2(g))
    step = _step(g, history, lr)
    return updated(weight - (step + lr * wd * weight if decoupled_weight_decay else step), history=history)


@update_op
def monolith_group_adagrad_update(weight: Tensor, grad: Tensor, history: RowState, *,
                                  lr: float, beta: float = 0.0, l2: float = 0.0, wd: float = 0.0) -> Updated:
    """AdaGrad with group lasso of Monolith: one accumulator per row, the sum of its largest squares.

    l2 shrinks the Euclidean norm of the row's new weight by l2 times the row's rate, down to zero. A row that has seen
    no gradient (beta + sqrt(history) = 0) stays; Monolith's is NaN then.
    """
    g = grad + wd * weight
    history = history + row_max(abs2(g))
    scale = beta + sqrt(history)
    rate = where(scale == 0, 0, lr / scale)
    moved = weight - rate * g
    length = row_norm(moved)
    kept = where(length <= rate * l2, 0, 1 - rate * l2 / length)
    return updated(kept * moved, history=history)
