"""AdaDelta."""

from symopt.lang import State, Tensor, Updated, abs2, clip, sqrt, updated
from symopt.opdef import update_op


@update_op
def adadelta_update(weight: Tensor, grad: Tensor, acc_g: State, acc_delta: State, *,
                    lr: float = 1.0, rho: float = 0.9, epsilon: float = 1e-6, wd: float = 0.0,
                    rescale_grad: float = 1.0, clip_gradient: float = -1.0, lazy_update: bool = False) -> Updated:
    """AdaDelta [Zeiler 2012, arXiv:1212.5701], as MXNet 2's optimizer has it; clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    acc_g = rho * acc_g + (1 - rho) * abs2(g)
    delta = sqrt(acc_delta + epsilon) / sqrt(acc_g + epsilon) * g
    acc_delta = rho * acc_delta + (1 - rho) * abs2(delta)
    return updated(weight - lr * delta, acc_g=acc_g, acc_delta=acc_delta)


@update_op
def torch_adadelta_update(weight: Tensor, grad: Tensor, acc_g: State, acc_delta: State, *,
                          lr: float = 1.0, rho: float = 0.9, epsilon: float = 1e-6, wd: float = 0.0,
                          maximize: bool = False) -> Updated:
    """AdaDelta [Zeiler 2012, arXiv:1212.5701] of torch 2.13: epsilon inside both roots."""
    g = (-grad if maximize else grad) + wd * weight
    acc_g = rho * acc_g + (1 - rho) * abs2(g)
    delta = sqrt(acc_delta + epsilon) / sqrt(acc_g + epsilon) * g
    acc_delta = rho * acc_delta + (1 - rho) * abs2(delta)
    return updated(weight - lr * delta, acc_g=acc_g, acc_delta=acc_delta)


@update_op
def keras_adadelta_update(weight: Tensor, grad: Tensor, acc_g: State, acc_delta: State, *,
                          lr: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7) -> Updated:
    """AdaDelta [Zeiler 2012, arXiv:1212.5701] of Keras, with a learning rate. All lazy up to TF 2.10."""
    acc_g = rho * acc_g + (1 - rho) * abs2(grad)
    delta = sqrt(acc_delta + epsilon) / sqrt(acc_g + epsilon) * grad
    acc_delta = rho * acc_delta + (1 - rho) * abs2(delta)
    return updated(weight - lr * delta, acc_g=acc_g, acc_delta=acc_delta)


@update_op(standard=("acc_g", "acc_delta"))
def keras3_adadelta_update(weight: Tensor, grad: Tensor, acc_g: State, acc_delta: State, *,
                           lr: float = 0.001, rho: float = 0.95, epsilon: float = 1e-7) -> Updated:
    """keras_adadelta_update whose accumulators decay in every row: Keras 3."""
    return keras_adadelta_update(weight, grad, acc_g, acc_delta, lr=lr, rho=rho, epsilon=epsilon)


@update_op
def monolith_adadelta_update(weight: Tensor, grad: Tensor, acc_g: State, acc_delta: State, *,
                             lr: float, rho: float = 0.9, epsilon: float = 0.01, wd: float = 0.0) -> Updated:
    """AdaDelta of Monolith: keras_adadelta_update with weight decay."""
    return keras_adadelta_update(weight, grad + wd * weight, acc_g, acc_delta, lr=lr, rho=rho, epsilon=epsilon)
