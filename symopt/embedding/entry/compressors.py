"""How weights are encoded where a table only answers lookups, and what lookups of a table in training see of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ...errors import AttributeValueError
from .arguments import positive, whole
from .part import Part


@dataclass(frozen=True, eq=False)
class Compressor(Part):
    """How a serving table keeps weights."""


@dataclass(frozen=True, eq=False)
class Fp32Compressor(Compressor):
    """As they are."""

    kind: ClassVar[str] = "fp32"


@dataclass(frozen=True, eq=False)
class Fp16Compressor(Compressor):
    """As float16, rounded to nearest even."""

    kind: ClassVar[str] = "fp16"


@dataclass(frozen=True, eq=False)
class FixedR8Compressor(Compressor):
    """As int8, in steps of fixed_range / 128 from -fixed_range: lookups in training see the rounded weights.

    Gradients pass as if nothing were rounded.
    """

    kind: ClassVar[str] = "fixed_r8"
    fixed_range: float = positive(1.0, proto="r")


@dataclass(frozen=True, eq=False)
class OneBitCompressor(Compressor):
    """As a sign times `amplitude`: lookups in training see amplitude * tanh(scale * w), and gradients are its own.

    At every step that `step_size` divides, scale becomes init_scale * sqrt(1 + 0.005 * step), not above max_scale.
    """

    kind: ClassVar[str] = "one_bit"
    step_size: int = whole(200, low=1)
    amplitude: float = positive(0.05, unset=0.1)
    init_scale: float = positive(1.0)
    max_scale: float = positive(1e4)

    def _check(self) -> None:
        if self.init_scale > self.max_scale:
            raise AttributeValueError(
                f"OneBitCompressor: init_scale = {self.init_scale!r} is above max_scale = {self.max_scale!r}"
            )
