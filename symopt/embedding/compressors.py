"""How few bytes a weight is kept in: what is stored, what comes back, and what training sees of it.

Each compressor is plain data with the graphs of its codec. Tables train on float32 weights; codes are stored by what is
exported. FixedR8 and OneBit also act while training: a lookup gives what serving would give, or a smooth likeness of
it, and gradients come back through `backward`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from .. import nd, sym
from ..arrays import Array
from ..errors import DTypeError
from ..symbol import Symbol
from .codes import Scale, as_float32, narrow, widen
from .kinds import from_config, positive, recognised
from .onebit import OneBit

__all__ = [
    "Compressor", "FixedR8", "Fp16", "Fp32", "OneBit", "as_compressor", "compressor_from_config",
]  # fmt: skip


@runtime_checkable
class Compressor(Protocol):
    """What a segment's `compressor` may be. Symbols are graphs; `encode` and `decode_into` are the same on rows."""

    kind: ClassVar[str]

    @property
    def dtype(self) -> str:
        """The dtype of stored codes."""

    @property
    def is_straight(self) -> bool:
        """Whether a lookup in training gives the very weights."""

    def width(self, dim: int) -> int:
        """Entries of the code of a row of `dim` weights."""

    def code(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """What is stored, as numbers."""

    def decode(self, code: Symbol) -> Symbol:
        """The weights that are left, from what `code` gives."""

    def lookup(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """What a lookup in training gives."""

    def backward(self, grad: Symbol, weight: Symbol, scale: Scale = None) -> Symbol:
        """The gradient at the weights from that at what `lookup` gave."""

    def encode(self, rows: Array) -> Array:
        """The codes of float32 rows (n, dim): (n, width) of `dtype`."""

    def decode_into(self, codes: Array, out: Array) -> None:
        """Write the weights that codes (n, width) stand for into float32 `out` (n, dim)."""


class _Straight:
    """A codec with one entry of code for each weight, which training does not see."""

    is_straight: ClassVar[bool] = True

    def width(self, dim: int) -> int:
        """See Compressor."""
        return dim

    def decode(self, code: Symbol) -> Symbol:
        """The code."""
        return code

    def lookup(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """The weight."""
        return weight

    def backward(self, grad: Symbol, weight: Symbol, scale: Scale = None) -> Symbol:
        """The gradient."""
        return grad


@dataclass(frozen=True)
class Fp32(_Straight):
    """Weights as they are: 4 bytes each."""

    kind: ClassVar[str] = "fp32"
    dtype: ClassVar[str] = "float32"

    def code(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """The weight."""
        return weight

    def encode(self, rows: Array) -> Array:
        """See Compressor."""
        return as_float32(rows)

    def decode_into(self, codes: Array, out: Array) -> None:
        """See Compressor."""
        np.copyto(out, codes)


@dataclass(frozen=True)
class Fp16(_Straight):
    """Weights rounded to float16 where they are stored: 2 bytes each. Training sees them whole."""

    kind: ClassVar[str] = "fp16"
    dtype: ClassVar[str] = "float16"

    def code(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """The weight to the nearest float16, of two as near the even one; beyond 65504 infinite."""
        return sym.monolith_fp16(weight)

    def encode(self, rows: Array) -> Array:
        """See Compressor."""
        return narrow(nd.monolith_fp16(as_float32(rows)), self.dtype)

    def decode_into(self, codes: Array, out: Array) -> None:
        """See Compressor."""
        widen(codes, out)


@dataclass(frozen=True)
class FixedR8(_Straight):
    """Weights in 256 steps of fixed_range / 128, from -fixed_range to 127/128 of it: 1 byte each.

    A lookup in training gives the steps too; gradients pass straight through.

    >>> import numpy as np
    >>> FixedR8().encode(np.array([[0.5, -1.5, 0.0039]], "float32"))
    array([[  64, -128,    0]], dtype=int8)
    """

    fixed_range: float = 1.0
    kind: ClassVar[str] = "fixed_r8"
    dtype: ClassVar[str] = "int8"
    is_straight: ClassVar[bool] = False

    def __post_init__(self) -> None:
        positive("FixedR8", fixed_range=self.fixed_range)

    @property
    def factor(self) -> float:
        """The step: what a code is multiplied by."""
        return self.fixed_range / 128

    def code(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """The number of the nearest step, of two as near the one away from zero; 0 for NaN."""
        return sym.monolith_fixed_r8_code(weight, fixed_range=self.fixed_range)

    def decode(self, code: Symbol) -> Symbol:
        """The code times the step."""
        return code * self.factor

    def lookup(self, weight: Symbol, scale: Scale = None) -> Symbol:
        """The nearest step's weight."""
        return sym.monolith_fixed_r8(weight, fixed_range=self.fixed_range)

    def encode(self, rows: Array) -> Array:
        """See Compressor."""
        codes = nd.monolith_fixed_r8_code(as_float32(rows), fixed_range=self.fixed_range)
        return narrow(codes, self.dtype)

    def decode_into(self, codes: Array, out: Array) -> None:
        """See Compressor."""
        np.multiply(codes, np.float32(self.factor), out=out, dtype=np.float32)


CLASSES: tuple[type[Compressor], ...] = (Fp32, Fp16, FixedR8, OneBit)


def as_compressor(x: Any) -> Compressor:
    """The compressor that is meant: one of ours, None (Fp32), the kind of one that needs no arguments, such as "fp16",
    or an object of a class called Fp16Compressor, FixedR8Compressor, ... with our fields.

    >>> as_compressor("fixed_r8")
    FixedR8(fixed_range=1.0)
    """
    if x is None:
        return Fp32()
    if isinstance(x, Compressor) and not isinstance(x, type):
        return x
    if isinstance(x, str):
        return compressor_from_config({"kind": x})
    known = recognised(CLASSES, x, "Compressor")
    if known is None:
        names = ", ".join(cls.__name__ for cls in CLASSES)
        raise DTypeError(f"a compressor can't be {x!r}: give one of {names}")
    return known


def compressor_from_config(config: dict[str, Any]) -> Compressor:
    """The compressor whose `config_of` this is: its kind and fields."""
    return from_config(CLASSES, config, "compressor")


def bytes_per_row(compressor: Compressor, dim: int) -> int:
    """Bytes that the code of a row of `dim` weights takes."""
    return compressor.width(dim) * np.dtype(compressor.dtype).itemsize
