"""Steps of subclasses whose `update_step` is Python: what comes before and after it is still one graph each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .calls import Call
from .graph import Phase

if TYPE_CHECKING:
    from .steps import Steps


def run_python_step(
    steps: Steps, call: Call, phase: Phase, grads: Sequence[Any], numbers: dict[str, float]
) -> bool:
    """Gradients processed and weights decayed, `update_step` for each variable, then averages.

    Whether the step was taken. An error of `update_step` leaves what was written before it.
    """
    prepared = steps.runner(call, phase, "prepared", grads, numbers)
    outputs = prepared.run(grads, numbers)
    if phase.is_scaled and not outputs[0][0]:
        return False
    optimizer = steps.optimizer
    order = call.order if phase.is_update else []
    by_key = {one.key: one for one in steps.kept}
    for key, gradient in zip(order, outputs[len(outputs) - len(order) :], strict=True):
        one = by_key[key]
        optimizer.update_step(
            gradient.reshape(one.known.view.shape), one.known.variable, float(numbers["@lr"])
        )
    if optimizer.use_ema:
        is_plain = phase._replace(is_scaled=False)
        steps.runner(call, is_plain, "finished", grads, numbers).run((), numbers)
    return True
