"""Adam whose weight decay is apart from the gradient."""

from symopt.lang import Integer, State, Tensor, Updated
from symopt.opdef import update_op

from .adam import torch_adam_update, torch_amsgrad_update


@update_op
def torch_adamw_update(weight: Tensor, grad: Tensor, mean: State, var: State, *,
                       step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-8, wd: float = 0.01, maximize: bool = False) -> Updated:
    """AdamW of torch 2.13 [Loshchilov & Hutter 2019]: first the weight shrinks by lr * wd, then Adam of torch."""
    return torch_adam_update(weight, grad, mean, var, step=step, lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon,
                             wd=wd, decoupled_weight_decay=True, maximize=maximize)


@update_op
def torch_adamw_amsgrad_update(weight: Tensor, grad: Tensor, mean: State, var: State, max_var: State, *,
                               step: Integer, lr: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
                               epsilon: float = 1e-8, wd: float = 0.01, maximize: bool = False) -> Updated:
    """AdamW(amsgrad=True) of torch 2.13: first the weight shrinks by lr * wd, then AMSGrad of torch."""
    return torch_amsgrad_update(weight, grad, mean, var, max_var, step=step, lr=lr, beta1=beta1, beta2=beta2,
                                epsilon=epsilon, wd=wd, decoupled_weight_decay=True, maximize=maximize)
