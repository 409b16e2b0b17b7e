"""AdaGrad, with one accumulator per element or per row."""

from symopt.lang import Integer, RowState, State, Tensor, Updated, abs2, clip, row_mean, sqrt, updated
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


@update_op
def keras_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                         lr: float = 0.001, epsilon: float = 1e-7) -> Updated:
    """AdaGrad of Keras up to TF 2.10: epsilon outside the root. The history starts at 0.1."""
    history = history + abs2(grad)
    return updated(weight - lr * grad / (sqrt(history) + epsilon), history=history)


@update_op
def keras3_adagrad_update(weight: Tensor, grad: Tensor, history: State, *,
                          lr: float = 0.001, epsilon: float = 1e-7) -> Updated:
    """AdaGrad of Keras 3: epsilon inside the root. The history starts at 0.1."""
    history = history + abs2(grad)
    return updated(weight - lr * grad / sqrt(history + epsilon), history=history)
