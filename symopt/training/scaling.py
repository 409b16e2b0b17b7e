"""Loss scaling: gradients of a loss that was multiplied, so that small ones survive 16 bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..errors import AttributeValueError
from ..given import Given
from ..state import Commit


def rescaled(
    is_finite: bool,
    scale: float,
    good_steps: int,
    growth_steps: int,
    factor: float = 2.0,
    minimum: float = 0.0,
    maximum: float = math.inf,
) -> tuple[float, int]:
    """The scale, and how many steps in a row were good, after a step: divided by `factor` when a gradient was not
    finite, multiplied by it after `growth_steps` steps where all were."""
    if not is_finite:
        return max(scale / factor, minimum), 0
    if good_steps + 1 >= growth_steps:
        return min(scale * factor, maximum), 0
    return scale, good_steps + 1


@dataclass
class LossScale:
    """The factor on the loss: halved when a gradient is not finite, doubled after enough steps where all were.

    Multiply the loss by `scale`; the step divides the gradients by it, and leaves everything as it is when one of them
    is not finite. `growth_steps`: steps in a row before it grows by `factor`; 0: it never changes. It stays between
    `minimum` and `maximum`.
    """

    scale: float = 2.0**15
    growth_steps: int = 2000
    factor: float = 2.0
    minimum: float = 1.0
    maximum: float = 2.0**24
    good_steps: int = 0

    def __post_init__(self) -> None:
        checks = {
            "scale": self.scale > 0,
            "growth_steps": self.growth_steps >= 0,
            "factor": self.factor > 1,
            "minimum": 0 < self.minimum <= self.scale,
            "maximum": self.maximum >= self.scale,
        }
        for name, is_right in checks.items():
            if not is_right:
                raise AttributeValueError(f"LossScale: {name} = {getattr(self, name)} does not fit: {self}")

    def update(self, is_finite: bool) -> None:
        """Take in whether the gradients of a step were all finite."""
        if self.growth_steps:
            self.scale, self.good_steps = rescaled(
                is_finite,
                self.scale,
                self.good_steps,
                self.growth_steps,
                self.factor,
                self.minimum,
                self.maximum,
            )

    def state(self) -> dict[str, Any]:
        """What changes from step to step."""
        return {"scale": self.scale, "good_steps": self.good_steps}

    def plan(self, given: Given) -> Commit:
        """What takes over what `state` gave."""
        given.names(self.state())
        scale, good_steps = given.number("scale", self.scale, above=0), given.count("good_steps")

        def commit() -> None:
            self.scale, self.good_steps = scale, good_steps

        return commit


def as_loss_scale(given: Any) -> LossScale | None:
    """None, a number that stays, "dynamic", or a LossScale."""
    if given is None or isinstance(given, LossScale):
        return given
    if given == "dynamic":
        return LossScale()
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given > 0:
        raise AttributeValueError(
            f'loss_scale must be a positive number, "dynamic" or a LossScale, got {given!r}'
        )
    return LossScale(float(given), growth_steps=0, minimum=min(1.0, given), maximum=max(2.0**24, given))
