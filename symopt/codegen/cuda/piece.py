"""What a kernel does to one element: a function of its own, called from a loop that takes some neighbours at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...build import is_number, kernel_inputs
from ...dtypes import COMPLEX_OF, COMPUTE, component
from ...expr import Extent, Node, toposort
from ...passes.ir import Kernel
from ...prims import LEAVES
from ..nodes import SIZES, dtype_of, is_shallow, safe
from .emit import TYPES, Scope, part, stored_type


def width_of(kernel: Kernel) -> int:
    """Neighbours that a thread takes at once: 16 bytes of the narrowest array, but no more than 32 of the widest."""
    sizes = [SIZES[b.dtype] for b in kernel.buffers if b.extent == Extent.ELEMENT and (b.read or b.write)]
    return max(2, min(16 // min(sizes), 32 // max(sizes))) if sizes else 4


def buffer_name(kernel: Kernel, b: int) -> str:
    """What a buffer's pointer is called: two names of users may be made equal by making them safe."""
    return f"{safe(kernel.buffers[b].name)}_{b}"


def summed_dtype(kernel: Kernel) -> str:
    """The dtype of rows of the sparse gradient after those of one index are added up."""
    dtype = kernel.buffers[kernel.sparse].dtype
    real = COMPUTE[component(dtype)]
    return COMPLEX_OF[real] if component(dtype) != dtype else real


class Piece:
    """A function from an element's values to `roots`.

    `outer`: names of what is known outside the loop. `arrays`: the buffers it reads, by number; `uses` the names from
    outside that it reads; `indexed`, `columned`: whether it reads the element's number in the tensor, or in its row.
    """

    def __init__(self, kernel: Kernel, name: str, roots: Sequence[Node], outer: Mapping[int, str]) -> None:
        self.kernel = kernel
        self.name = name
        self.roots = roots
        order = [n for n in toposort(roots, kernel_inputs) if not is_number(n) and not is_shallow(n)]
        loads = [n for n in order if n.op == "load"]
        self.arrays = sorted({n.attrs["index"] for n in loads})
        self.indexed = any(n.op == "index" for n in order)
        self.columned = any(n.op == "column" for n in order)
        read = [x for n in order for x in n.inputs]
        read += [x for root in roots for x in ((root, *root.inputs) if root.op == "pair" else (root,))]
        self.uses = {outer[id(x)]: x for x in read if id(x) in outer}
        self.text = self._text(order, outer)

    def value_type(self, b: int) -> str:
        """The C type of an element of a buffer, as the function takes it."""
        return TYPES[summed_dtype(self.kernel) if b == self.kernel.sparse else self.kernel.buffers[b].dtype]

    def _text(self, order: list[Node], outer: Mapping[int, str]) -> str:
        scope = Scope({id(x): name for name, x in self.uses.items()}, "e")
        for node in order:
            if node.op == "load":
                scope.names[id(node)] = part(f"x_{buffer_name(self.kernel, node.attrs['index'])}", node)
            elif node.op == "index":
                scope.names[id(node)] = "index"
            elif node.op == "column":
                scope.names[id(node)] = f"({TYPES[dtype_of(node)]})column"
        scope.compute(n for n in order if n.op not in LEAVES)
        stores = [line for k, root in enumerate(self.roots) for line in scope.assign(f"y{k}", root)]
        body = "\n".join(f"  {line}" for line in (*scope.lines, *stores))
        return f"INLINE void {self.name}({', '.join(self._parameters())}) {{\n{body}\n}}"

    def _parameters(self) -> list[str]:
        arrays = [f"const {self.value_type(b)} x_{buffer_name(self.kernel, b)}" for b in self.arrays]
        uses = [f"const {TYPES[dtype_of(x)]} {name}" for name, x in self.uses.items()]
        places = ["const i64 index"] * self.indexed + ["const i64 column"] * self.columned
        return [*arrays, *uses, *places, *(f"{stored_type(r)}& y{k}" for k, r in enumerate(self.roots))]

    def call(self, index: str, column: str, targets: Sequence[str]) -> str:
        """A call on element k of the vectors `v_<buffer>`."""
        arrays = [f"v_{buffer_name(self.kernel, b)}.x[k]" for b in self.arrays]
        places = [index] * self.indexed + [column] * self.columned
        return f"{self.name}({', '.join([*arrays, *self.uses, *places, *targets])});"
