"""Adam with the infinity norm."""

from symopt.lang import Integer, State, Tensor, Updated, absolute, clip, lerp, maximum, updated
from symopt.opdef import update_op


@update_op
def adamax_update(weight: Tensor, grad: Tensor, mean: State, u: State, *,
                  lr: float = 0.002, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, t: Integer,
                  wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                  lazy_update: bool = False) -> Updated:
    """AdaMax [Kingma & Ba 2015, section 7.1], as MXNet 2's optimizer has it; clip, then decay."""
    g = clip(rescale_grad * grad, clip_gradient) + wd * weight
    mean = beta1 * mean + (1 - beta1) * g
    u = maximum(beta2 * u, absolute(g))
    return updated(weight - lr / (1 - beta1**t) * mean / (u + epsilon), mean=mean, u=u)


@update_op
def torch_adamax_update(weight: Tensor, grad: Tensor, mean: State, u: State, *,
                        step: Integer, lr: float = 2e-3, beta1: float = 0.9, beta2: float = 0.999,
                        epsilon: float = 1e-8, wd: float = 0.0, maximize: bool = False) -> Updated:
    """AdaMax [Kingma & Ba 2015] of torch 2.13: epsilon is added to the gradient's magnitude, not to the denominator."""
    g = (-grad if maximize else grad) + wd * weight
    mean = lerp(mean, g, 1 - beta1)
    u = maximum(beta2 * u, absolute(g) + epsilon)
    return updated(weight - lr / (1 - beta1**step) * mean / u, mean=mean, u=u)


@update_op
def keras_adamax_update(weight: Tensor, grad: Tensor, mean: State, u: State, *,
                        step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                        epsilon: float = 1e-7) -> Updated:
    """Adamax [Kingma & Ba 2015, section 7.1] of Keras. Lazy up to TF 2.10. step counts from 1."""
    mean = mean + (grad - mean) * (1 - beta1)
    u = maximum(beta2 * u, absolute(grad))
    return updated(weight - lr / (1 - beta1**step) * (mean / (u + epsilon)), mean=mean, u=u)


@update_op
def keras3_adamax_update(weight: Tensor, grad: Tensor, mean: State, u: State, *,
                         step: Integer, lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999,
                         epsilon: float = 1e-7, lazy_update: bool = False) -> Updated:
    """keras_adamax_update that moves every row: Keras 3."""
    return keras_adamax_update(weight, grad, mean, u, step=step, lr=lr, beta1=beta1, beta2=beta2,
                               epsilon=epsilon)
