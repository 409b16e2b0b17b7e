"""Rows of codes: what several segments' compressors store, side by side in the bytes of one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import AttributeValueError
from .compressors import Compressor, as_compressor, compressor_from_config
from .kinds import config_of


@dataclass(frozen=True)
class Coded:
    """How rows lie as bytes: of each segment its columns (a slice of the row), its compressor, and where its code
    begins. Codes begin at multiples of their items' size, and so do rows (`stride` bytes)."""

    dims: tuple[int, ...]
    compressors: tuple[Compressor, ...]

    @classmethod
    def of(cls, segments: Sequence[tuple[int, Any]], what: str) -> Coded:
        """From (dim, compressor) of each segment."""
        dims = tuple(dim for dim, _ in segments)
        for dim in dims:
            if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)) or dim < 1:
                raise AttributeValueError(
                    f"{what}: a segment's dim is a number of columns, at least 1, got {dim!r}"
                )
        if not dims:
            raise AttributeValueError(f"{what}: a table has at least one segment")
        return cls(tuple(map(int, dims)), tuple(as_compressor(x) for _, x in segments))

    @property
    def dim(self) -> int:
        """Columns of a row."""
        return sum(self.dims)

    @property
    def places(self) -> tuple[tuple[slice, int, int], ...]:
        """Of each segment: its columns, where its code begins in a row's bytes, and where it ends."""
        found, column, at = [], 0, 0
        for dim, x in zip(self.dims, self.compressors, strict=True):
            size = np.dtype(x.dtype).itemsize
            at += -at % size
            found.append((slice(column, column + dim), at, at + x.width(dim) * size))
            column, at = column + dim, found[-1][2]
        return tuple(found)

    @property
    def stride(self) -> int:
        """Bytes of a row."""
        end = self.places[-1][2]
        return end + -end % max(np.dtype(x.dtype).itemsize for x in self.compressors)

    def encode(self, rows: Array) -> Array:
        """(n, stride) bytes of float32 rows (n, dim)."""
        codes = np.zeros((len(rows), self.stride), np.uint8)
        for x, (columns, begin, end) in zip(self.compressors, self.places, strict=True):
            codes[:, begin:end] = _as_bytes(x.encode(rows[:, columns]))
        return codes

    def decode_into(self, codes: Array, out: Array) -> None:
        """Write the rows that (n, stride) bytes stand for into float32 `out` (n, dim)."""
        for x, (columns, begin, end) in zip(self.compressors, self.places, strict=True):
            x.decode_into(codes[:, begin:end].view(x.dtype), out[:, columns])

    def decode(self, codes: Array) -> Array:
        """(n, dim) float32 rows of (n, stride) bytes."""
        out = np.empty((len(codes), self.dim), np.float32)
        self.decode_into(codes, out)
        return out

    def config(self) -> list[dict[str, Any]]:
        """As a file holds it."""
        pairs = zip(self.dims, self.compressors, strict=True)
        return [{"dim": dim, "compressor": config_of(x)} for dim, x in pairs]

    @classmethod
    def from_config(cls, segments: Sequence[Mapping[str, Any]], what: str) -> Coded:
        """What `config` gave."""
        return cls.of([(s["dim"], compressor_from_config(s["compressor"])) for s in segments], what)


def _as_bytes(codes: Array) -> Array:
    codes = np.ascontiguousarray(codes)
    return codes.astype(codes.dtype.newbyteorder("<"), copy=False).view(np.uint8)
