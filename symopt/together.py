"""What is given to a step under the same names again and again: sorted once, so that each look at it is short."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from .bound import Bound, Given, is_number
from .dtypes import to_numpy


class Together:
    """Names that are given together, and what is known of them before what is given is seen.

    `numbers`: of the host. `arrays`: those of `plain`, dense arrays on the host that the step only reads. `others`, and
    all that are `alone`: to be bound one by one. `n_bytes`: of each of the arrays.
    """

    def __init__(
        self,
        names: Sequence[str],
        bound: Mapping[str, Bound],
        numbers: Collection[str],
        plain: Collection[str],
        alone: Collection[str] = (),
    ) -> None:
        self.numbers = tuple(n for n in names if n in numbers and n not in alone)
        self.arrays = tuple(n for n in names if n in plain and n not in alone)
        sorted_out = {*self.numbers, *self.arrays}
        self.others = tuple(n for n in names if n not in sorted_out)
        self._dtypes = [to_numpy(bound[n].dtype) for n in self.arrays]
        self._shapes = [bound[n].shape for n in self.arrays]
        self.n_bytes = np.array(
            [math.prod(s) * d.itemsize for s, d in zip(self._shapes, self._dtypes, strict=True)], np.int64
        )

    def misfits(self, given: Mapping[str, Given], bound: Mapping[str, Bound]) -> frozenset[str]:
        """The names that do not get what they mostly get: a Python number, or a NumPy array of the bound dtype and
        shape, C-contiguous. To all others `Bound` and `check_same` have no objection, and they are not copied."""
        found = [n for n in self.numbers if not (is_number(given[n]) and bound[n].is_number)]
        if self.arrays:
            found += [
                n
                for n, dtype, shape in zip(self.arrays, self._dtypes, self._shapes, strict=True)
                if type(x := given[n]) is not np.ndarray
                or x.dtype is not dtype
                or x.shape != shape
                or not x.flags.c_contiguous
            ]
        return frozenset(found)
