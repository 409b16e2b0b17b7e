"""What the weights of a new row are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import AttributeValueError
from .arguments import number
from .part import Part


@dataclass(frozen=True, eq=False)
class Initializer(Part):
    """What the weights of a new row are. Random ones depend on the table's seed and the id only."""


@dataclass(frozen=True, eq=False)
class ZerosInitializer(Initializer):
    """All 0."""

    kind: ClassVar[str] = "zeros"


@dataclass(frozen=True, eq=False)
class OnesInitializer(Initializer):
    """All 1. Monolith has it in its proto file, and no class."""

    kind: ClassVar[str] = "ones"


@dataclass(frozen=True, eq=False)
class ConstantsInitializer(Initializer):
    """All `constant`."""

    kind: ClassVar[str] = "constants"
    constant: float = number(unset=0.0)


@dataclass(frozen=True, eq=False)
class BatchSoftmaxInitializer(Initializer):
    """All `init_step_interval`, the number of steps that BatchSoftmaxOptimizer first thinks an id stays away.

    It equals the ConstantsInitializer of that number. AttributeValueError (a ValueError) below 1.
    """

    kind: ClassVar[str] = "constants"
    init_step_interval: float = number(low=1, proto="constant")

    @property
    def constant(self) -> float:
        """The same number, by its name in the proto file."""
        return self.init_step_interval


@dataclass(frozen=True, eq=False)
class RandomUniformInitializer(Initializer):
    """Drawn evenly from `minval` to before `maxval`, -0.05 and 0.05 if not given."""

    kind: ClassVar[str] = "random_uniform"
    minval: float | None = number(None, -0.05)
    maxval: float | None = number(None, 0.05)

    def _check(self) -> None:
        low, high = _both(self.minval, self.maxval)
        if low > high:
            raise AttributeValueError(
                f"RandomUniformInitializer: minval = {low!r} is above maxval = {high!r}"
            )


def _both(*numbers: Any) -> tuple[float, ...]:
    return tuple(map(float, numbers))


@dataclass(frozen=True, eq=False)
class RandomNormalInitializer(Initializer):
    """Normal with a mean and a standard deviation. symopt's own: Monolith has no such initializer."""

    kind: ClassVar[str] = "random_normal"
    mean: float = number(0.0)
    stddev: float = number(0.05, low=0)
