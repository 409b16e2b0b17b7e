"""Names under which a step is given something again and again: sorted once, so that each look is short."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from .bound import Bound, Given, is_number
from .dtypes import to_numpy
from .places import HOST
from .sparse import RowSparseArray


class Together:
    """Names that are given together, and what is known of them before what is given is seen.

    `numbers`: of the host. `arrays` and `rows`: those of `plain`, dense and row_sparse arrays on the host that the step
    only reads. `others`, and all that are `alone`: to be bound one by one. `n_bytes`: of each of the dense arrays.
    """

    def __init__(
        self,
        names: Sequence[str],
        bound: Mapping[str, Bound],
        numbers: Collection[str],
        plain: Collection[str],
        alone: Collection[str],
    ) -> None:
        likes = [n for n in names if n not in alone]
        self.numbers = tuple(n for n in likes if n in numbers)
        self.arrays = tuple(n for n in likes if n in plain and bound[n].stype == "default")
        self.rows = tuple(n for n in likes if n in plain and bound[n].stype != "default")
        sorted_out = {*self.numbers, *self.arrays, *self.rows}
        self.others = tuple(n for n in names if n not in sorted_out)
        self._arrays = [(n, to_numpy(bound[n].dtype), bound[n].shape) for n in self.arrays]
        self._rows = [(n, to_numpy(bound[n].dtype), bound[n].shape) for n in self.rows]
        self.n_bytes = np.array([math.prod(s) * d.itemsize for _, d, s in self._arrays], np.int64)

    def misfits(self, given: Mapping[str, Given], bound: Mapping[str, Bound]) -> frozenset[str]:
        """The names that do not get what they mostly get: a number; a NumPy array of the bound dtype and shape,
        C-contiguous; a row_sparse one of that dtype and shape. `Bound` and `check_same` find no fault with such, and
        copy none."""
        found = [n for n in self.numbers if not (is_number(given[n]) and bound[n].is_number)]
        if self._arrays:
            found += [
                name
                for name, dtype, shape in self._arrays
                if type(x := given[name]) is not np.ndarray
                or x.dtype is not dtype
                or x.shape != shape
                or not x.flags.c_contiguous
            ]
        if self._rows:
            found += [
                name
                for name, dtype, shape in self._rows
                if type(x := given[name]) is not RowSparseArray
                or x.dtype is not dtype
                or x.shape != shape
                or x.place is not HOST
            ]
        return frozenset(found)
