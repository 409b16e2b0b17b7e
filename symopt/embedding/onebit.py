"""The compressor that keeps signs, and has training learn them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import nd, sym
from ..arrays import Array
from ..errors import AttributeValueError
from ..symbol import Symbol
from .codes import Scale, as_float32, narrow
from .kinds import finite, positive


@dataclass(frozen=True)
class OneBit:
    """The sign of each weight, as amplitude or -amplitude; 0 counts as below: 1 byte each, or `packed` 1 bit.

    In training a lookup gives the soft sign amplitude * tanh(scale * weight) [HashNet, Cao et al. 2017], whose scale
    grows with the steps: at every step that step_size divides it becomes init_scale * sqrt(1 + 0.005 * step), at most
    max_scale. The scale is the table's to keep: `scale_after` gives the next.
    """

    step_size: float = 200
    amplitude: float = 0.05
    init_scale: float = 1.0
    max_scale: float = 1e4
    packed: bool = False
    kind: ClassVar[str] = "one_bit"
    is_straight: ClassVar[bool] = False

    def __post_init__(self) -> None:
        positive("OneBit", step_size=self.step_size, init_scale=self.init_scale, max_scale=self.max_scale)
        finite("OneBit", amplitude=self.amplitude)
        if self.step_size != int(self.step_size):
            raise AttributeValueError(f"OneBit: step_size must be a number of steps, got {self.step_size!r}")

    @property
    def dtype(self) -> str:
        """See compressors.Compressor."""
        return "uint8" if self.packed else "int8"

    def width(self, dim: int) -> int:
        """See compressors.Compressor."""
        return -(-dim // 8) if self.packed else dim

    def code(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """1 or -1."""
        return sym.monolith_one_bit_code(weight, amplitude=self.amplitude, scale=self._scale(scale))

    def decode(self, code: Symbol) -> Symbol:
        """The code times the amplitude."""
        return code * self.amplitude

    def lookup(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """The soft sign."""
        return sym.monolith_hash_net(weight, amplitude=self.amplitude, scale=self._scale(scale))

    def backward(self, grad: Symbol, weight: Symbol, scale: Scale = None) -> Symbol:
        """The gradient times the derivative of the soft sign."""
        scale = self._scale(scale)
        return sym.monolith_hash_net_backward(grad, weight, amplitude=self.amplitude, scale=scale)

    def next_scale(self, scale: Symbol, global_step: Symbol | float) -> Symbol:
        """The scale that the backward pass of a step, and all lookups after it, have; `scale` is the one before."""
        return sym.monolith_one_bit_scale(scale, global_step=global_step, **self._growth)

    def scale_after(self, scale: float, global_step: int) -> float:
        """`next_scale` of a number.

        >>> one_bit = OneBit(step_size=200)
        >>> one_bit.scale_after(1.0, 199), one_bit.scale_after(1.0, 1600)
        (1.0, 3.0)
        """
        found = nd.monolith_one_bit_scale(
            np.array([scale], np.float64), global_step=global_step, **self._growth
        )
        return float(found[0])

    def encode(self, rows: Array) -> Array:
        """See compressors.Compressor; packed, the first weight is the highest bit of the first byte."""
        attrs = {"amplitude": self.amplitude, "scale": self.init_scale}
        codes = nd.monolith_one_bit_code(as_float32(rows), **attrs)
        return np.packbits(codes > 0, axis=1) if self.packed else narrow(codes, self.dtype)

    def decode_into(self, codes: Array, out: Array) -> None:
        """See compressors.Compressor."""
        if self.packed:
            codes = np.unpackbits(codes, axis=1, count=out.shape[1]).view(np.int8) * np.int8(2) - np.int8(1)
        np.multiply(codes, np.float32(self.amplitude), out=out, dtype=np.float32)

    def _scale(self, scale: Scale) -> Symbol | float:
        return self.init_scale if scale is None else scale

    @property
    def _growth(self) -> dict[str, float]:
        return {"step_size": self.step_size, "init_scale": self.init_scale, "max_scale": self.max_scale}
