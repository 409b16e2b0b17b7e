"""Kernels over a flat run of elements: a block of threads takes a chunk, a thread some neighbours at a time."""

from __future__ import annotations

from ...expr import Extent
from .emit import Scope
from .loops import Run, indented, store_loop
from .template import Template, shallow_at


class Elements(Template):
    """Nothing is per row: chunks are runs of elements."""

    def chunk(self) -> list[str]:
        stores = self.changing(self.kernel.stores)
        order, depth = self.levels(stores)
        lines = self.of_tensor(order)
        lines += self.pointers(order, self.deep(stores), Extent.ELEMENT, {})
        scope = Scope(self.scope.names, "r")
        self.shallow(scope, shallow_at(order, depth, 0), "0")
        lines += scope.lines
        deep, flat = self.deep(stores), self.flat(stores)
        if deep:
            piece = self.piece("element", [root for root, _ in deep], scope)
            run = Run("count", f"THREADS * {self.width}", "d.first")
            lines += ["const int count = (int)d.n;", f"int j = threadIdx.x * {self.width};"]
            lines += store_loop(piece, [b for _, b in deep], run, self.guard)
        if flat:
            lines += self.pointers((), flat, Extent.TENSOR, {})
            lines += ["if (d.first == 0 && threadIdx.x == 0) {", *indented(self.store_flat(scope, flat)), "}"]
        return lines
