"""What compression costs and saves: bytes of a serving table, and how far its rows are from those it was made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array


@dataclass(frozen=True)
class SegmentError:
    """How far a segment's weights are from what they were. Relative errors are of weights that are not 0; a weight that
    is no finite number is counted, and in no error."""

    max_absolute: float = 0.0
    mean_absolute: float = 0.0
    max_relative: float = 0.0
    mean_relative: float = 0.0
    not_finite: int = 0


@dataclass(frozen=True)
class SizeReport:
    """Sizes in bytes and errors of a serving table. `ratio`: how many times as large the weights were in float32.

    `index_bytes`: of ids and what finds them; `skipped`: rows that were left out because they are zero. `errors`: one
    for each segment, at the time of the export; rows assigned later are not in them.
    """

    rows: int
    skipped: int
    row_bytes: int
    float32_row_bytes: int
    index_bytes: int
    errors: tuple[SegmentError, ...]

    @property
    def ratio(self) -> float:
        """Bytes of a row in float32 to those of its code."""
        return self.float32_row_bytes / self.row_bytes

    @property
    def total_bytes(self) -> int:
        """Of rows and index."""
        return self.rows * self.row_bytes + self.index_bytes

    def as_dict(self) -> dict[str, Any]:
        """As a file holds it, with what follows from it."""
        found = asdict(self)
        found["errors"] = list(found["errors"])
        return {**found, "ratio": self.ratio, "total_bytes": self.total_bytes}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> SizeReport:
        """What `as_dict` gave."""
        sizes = {k: given[k] for k in ("rows", "skipped", "row_bytes", "float32_row_bytes", "index_bytes")}
        return cls(**sizes, errors=tuple(SegmentError(**each) for each in given["errors"]))

    def __str__(self) -> str:
        lines = [
            f"{self.rows:,} rows of {self.row_bytes} bytes, {self.ratio:.3g} times fewer than in float32; "
            f"{self.total_bytes:,} bytes with the index"
        ]
        for k, error in enumerate(self.errors):
            lines.append(
                f"segment {k}: error {error.max_absolute:.3g} at most, {error.mean_absolute:.3g} on average; relative "
                f"{error.max_relative:.3g} and {error.mean_relative:.3g}"
            )
        return "\n".join(lines)


@dataclass
class Errors:
    """Errors of one segment, added up as its rows are written."""

    max_absolute: float = 0.0
    max_relative: float = 0.0
    not_finite: int = 0
    absolute: float = field(default=0.0, repr=False)
    relative: float = field(default=0.0, repr=False)
    finite: int = 0
    nonzero: int = 0

    def add(self, before: Array, after: Array) -> None:
        """Rows (n, dim) in float32, and what is left of them."""
        with np.errstate(invalid="ignore", over="ignore"):
            gap, size = np.abs(after - before), np.abs(before)
        total = float(gap.sum(dtype=np.float64))
        if not np.isfinite(total):  # some weight is no finite number, or its code is none
            is_finite = np.isfinite(before)
            self.not_finite += int(before.size - np.count_nonzero(is_finite))
            gap, size = gap[is_finite], size[is_finite]
            total = float(gap.sum(dtype=np.float64))
        self.max_absolute = max(self.max_absolute, float(gap.max(initial=0)))
        self.absolute += total
        self.finite += gap.size
        is_zero = size == 0
        if is_zero.any():
            gap, size = gap[~is_zero], size[~is_zero]
        relative = gap / size
        self.max_relative = max(self.max_relative, float(relative.max(initial=0)))
        self.relative += float(relative.sum(dtype=np.float64))
        self.nonzero += relative.size

    def total(self) -> SegmentError:
        """Of all rows that were added."""
        return SegmentError(
            self.max_absolute,
            self.absolute / max(self.finite, 1),
            self.max_relative,
            self.relative / max(self.nonzero, 1),
            self.not_finite,
        )
