"""RMSprop: plain or centered, with and without momentum."""

from symopt.lang import State, Tensor, Updated, abs2, sqrt, updated
from symopt.opdef import update_op


@update_op(standard=("var",))
def keras_rmsprop_update(weight: Tensor, grad: Tensor, var: State, *,
                         lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """RMSprop [Hinton 2012] of Keras up to TF 2.10: without momentum, epsilon outside the root; var never lazy."""
    var = rho * var + (1 - rho) * abs2(grad)
    return updated(weight - lr * grad / (sqrt(var) + epsilon), var=var)


@update_op
def keras_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mom: State, *,
                             lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                             epsilon: float = 1e-7) -> Updated:
    """RMSprop with momentum of Keras up to TF 2.10: epsilon inside the root; all lazy."""
    var = var + (abs2(grad) - var) * (1 - rho)
    mom = momentum * mom + lr * grad / sqrt(var + epsilon)
    return updated(weight - mom, var=var, mom=mom)


@update_op(standard=("var", "mean"))
def keras_centered_rmsprop_update(weight: Tensor, grad: Tensor, var: State, mean: State, *,
                                  lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """Centered RMSprop [Graves 2013, arXiv:1308.0850] of Keras up to TF 2.10: epsilon outside the root.

    Where gradients hardly vary the root is of nearly nothing, or of less: Keras does not guard it.
    """
    var = rho * var + (1 - rho) * abs2(grad)
    mean = rho * mean + (1 - rho) * grad
    return updated(weight - lr * grad / (sqrt(var - abs2(mean)) + epsilon), var=var, mean=mean)


@update_op
def keras_centered_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mean: State, mom: State, *,
                                      lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                                      epsilon: float = 1e-7) -> Updated:
    """Centered RMSprop with momentum of Keras up to TF 2.10: epsilon inside the root; all lazy."""
    var = var + (abs2(grad) - var) * (1 - rho)
    mean = mean + (grad - mean) * (1 - rho)
    mom = momentum * mom + lr * grad / sqrt(var - abs2(mean) + epsilon)
    return updated(weight - mom, var=var, mean=mean, mom=mom)


@update_op(standard=("var",))
def keras3_rmsprop_update(weight: Tensor, grad: Tensor, var: State, *,
                          lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """RMSprop of Keras 3: epsilon inside the root; var decays in every row."""
    var = rho * var + (1 - rho) * abs2(grad)
    return updated(weight - lr * grad / sqrt(var + epsilon), var=var)


@update_op
def keras3_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mom: State, *,
                              lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                              epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """keras_rmsprop_mom_update that moves every row: Keras 3."""
    return keras_rmsprop_mom_update(weight, grad, var, mom, lr=lr, rho=rho, momentum=momentum, epsilon=epsilon)


@update_op(standard=("var", "mean"))
def keras3_centered_rmsprop_update(weight: Tensor, grad: Tensor, var: State, mean: State, *,
                                   lr: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Updated:
    """Centered RMSprop of Keras 3: epsilon inside the root; var and mean decay in every row."""
    var = rho * var + (1 - rho) * abs2(grad)
    mean = rho * mean + (1 - rho) * grad
    return updated(weight - lr * grad / sqrt(var - abs2(mean) + epsilon), var=var, mean=mean)


@update_op
def keras3_centered_rmsprop_mom_update(weight: Tensor, grad: Tensor, var: State, mean: State, mom: State, *,
                                       lr: float = 0.001, rho: float = 0.9, momentum: float = 0.0,
                                       epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """keras_centered_rmsprop_mom_update that moves every row: Keras 3."""
    return keras_centered_rmsprop_mom_update(weight, grad, var, mean, mom, lr=lr, rho=rho, momentum=momentum,
                                             epsilon=epsilon)
