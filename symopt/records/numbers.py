"""The numbers that a graph on rows needs: the same for all rows, or for each row its own."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backends.base import Memory
from ..backends.base import Numbers as Evaluated
from ..codegen.nodes import dtype_of
from ..hostmath import HostProgram
from ..passes.ir import Program

Array = npt.NDArray[Any]
Given = Mapping[str, float | Array]
NOTHING: Given = MappingProxyType({})


class Numbers:
    """Evaluates the numbers of every kernel of a program, in the order in which its code reads them."""

    def __init__(self, program: Program) -> None:
        self._memory = Memory()
        self.evaluated = Evaluated(program, self._memory)
        self.names = tuple(name for _, name in self.evaluated.variables)
        kernels = [(x.kernel, i) for x in program.launches for i in x.instances]
        self._parts = [(i.leaves, k.leaves, HostProgram(k.scalars)) for k, i in kernels]
        self._narrow = [dtype_of(s) == "float32" for k, _ in kernels for s in k.scalars]
        self._key = Struct(f"{len(self.names)}d")
        self._last: tuple[bytes, Array] | None = None

    def take(self, given: Given) -> None:
        """Have the numbers of the host's variables: floats, or float64 (n,)."""
        self._memory.numbers = {name: given[name] for name in self.names}  # type: ignore[misc]
        self.evaluated.evaluate()

    def table(self, given: Given) -> Array:
        """(n, words) with the numbers of each row, or (words,) where they are the same for all: 8 bytes each, of which
        a float32 fills the first 4."""
        table, which = self.rows(given)
        return table if which is None else table[which]

    def rows(self, given: Given) -> tuple[Array, Array | None]:
        """The same with each row of numbers once, (k, words), and which of them each row has, (n,); or (words,) and
        None."""
        own = {name: given[name] for name in self.names}
        if not any(isinstance(x, np.ndarray) for x in own.values()):
            key = self._key.pack(*own.values())  # of bits: 0 == -0.0
            if self._last is None or self._last[0] != key:
                self._last = key, self._fill(own, ())
            return self._last[1], None
        distinct, which = _distinct(own)
        n_distinct = len(next(x for x in distinct.values() if isinstance(x, np.ndarray)))
        return self._fill(distinct, (n_distinct,)), which

    def _fill(self, given: Given, shape: tuple[int, ...]) -> Array:
        self.take(given)
        number = self.evaluated.number
        table = np.zeros((*shape, len(self._narrow)), np.float64)
        narrow, k = table.view(np.float32), 0
        with np.errstate(all="ignore"):
            for leaves, names, program in self._parts:
                columns = {name: number(source) for name, source in zip(names, leaves, strict=True)}
                for column in program(columns):
                    if self._narrow[k]:
                        narrow[..., 2 * k] = column
                    else:
                        table[..., k] = column
                    k += 1
        return table


def _distinct(given: Given) -> tuple[Given, Array]:
    """The numbers with each combination once, and which combination each row has: powers and the like are made one by
    one, and rows have few distinct ages."""
    which = None
    for x in given.values():
        if isinstance(x, np.ndarray):
            _, codes = np.unique(x, return_inverse=True)
            if which is not None:
                _, codes = np.unique(which * (codes.max(initial=0) + 1) + codes, return_inverse=True)
            which = codes
    assert which is not None, "all numbers are the same for all rows"
    example = np.zeros(which.max(initial=-1) + 1, np.int64)
    example[which] = np.arange(len(which))
    return {name: x[example] if isinstance(x, np.ndarray) else x for name, x in given.items()}, which
