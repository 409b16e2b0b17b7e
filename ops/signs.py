"""Rules that look at the sign of the gradient."""

from symopt.lang import State, Tensor, Updated, maximum, minimum, sign, updated, where
from symopt.opdef import update_op


@update_op
def torch_rprop_update(weight: Tensor, grad: Tensor, prev: State, step_size: State, *,
                       etaminus: float = 0.5, etaplus: float = 1.2, step_size_min: float = 1e-6,
                       step_size_max: float = 50.0, maximize: bool = False) -> Updated:
    """Rprop [Riedmiller & Braun 1993] of torch 2.13: where the sign changes there is no step, and the next one is free.

    There is no lr: `step_size` starts as the learning rate.
    """
    g = -grad if maximize else grad
    turn = g * prev
    factor = where(turn > 0, etaplus, where(turn < 0, etaminus, 1))
    step_size = minimum(maximum(step_size * factor, step_size_min), step_size_max)
    g = where(turn < 0, 0, g)
    return updated(weight - sign(g) * step_size, prev=g, step_size=step_size)
