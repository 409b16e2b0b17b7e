"""Averages over steps: of values, and of the steps between two occurrences."""

from symopt.lang import Integer, RowState, Tensor, Updated, updated, where
from symopt.opdef import update_op


@update_op
def monolith_moving_average_update(weight: Tensor, grad: Tensor, *, momentum: float = 0.9) -> Updated:
    """Moving average of Monolith: the weight follows `grad`, which is a value and no gradient."""
    return updated(momentum * weight + (1 - momentum) * grad)


@update_op
def monolith_batch_softmax_update(weight: Tensor, grad: Tensor, last_step: RowState, *,
                                  lr: float, global_step: Integer) -> Updated:
    """Mean number of steps between a row's updates, for sampling-bias correction [Yi et al. 2019, RecSys].

    1 / max(weight, 1) estimates how probable the row is in a batch. Of the gradient only the rows matter. `last_step`
    starts at 0, so a row's first interval is the step it comes at; float32 counts 2**24 steps.
    """
    return updated((1 - lr) * weight + lr * (global_step - last_step), last_step=where(True, global_step, last_step))
