"""What all kernels have in common: the loop over chunks, numbers, and values that are one per tensor."""

from __future__ import annotations

from collections.abc import Sequence

from ...build import is_number, kernel_inputs
from ...expr import Extent, Node, toposort
from ...passes.ir import REDUCE, Kernel, puts_back
from ...prims import LEAVES, REDUCTIONS
from ..guard import Guard
from ..nodes import depths, dtype_of, is_shallow, level_of
from .emit import TYPES, Scope, part
from .layout import BY_VALUE, chunk_fields, scalar_fields, struct
from .loops import indented, kept, watch
from .piece import Piece, buffer_name, width_of

Stores = tuple[tuple[Node, int], ...]

# One block on a multiprocessor is enough: asked for more, or for nothing, the compiler moves values out of registers.
HEAD = """extern "C" __global__ void __launch_bounds__(THREADS, 1)
run(const Chunk* __restrict__ chunks, int n_chunks, Scalars scalars, const u64* gate) {"""
GUARDED_HEAD = HEAD.replace("const u64* gate)", "const u64* gate, u64* found)")


class Template:
    """Writes the kernel `run`. Subclasses write what is done with a chunk."""

    def __init__(self, kernel: Kernel, guard: Guard | None = None) -> None:
        self.kernel = kernel
        self.guard = guard
        self.width = width_of(kernel)
        self.pieces: list[Piece] = []
        self.shared: list[str] = []  # declarations of shared memory
        self.scope = Scope({}, "t")  # of a chunk

    def text(self) -> str:
        """The structs of the tables, the functions of an element, and the kernel."""
        numbers = self._numbers()
        body = self.chunk()
        inner = ["const Chunk d = chunks[c];", "const bool aligned = d.aligned != 0;", *numbers, *body]
        if self.guard:
            inner.insert(1, f"u64* const slots = found + d.tensor * {len(self.guard.watched)};")
        lines = [
            *self.shared,
            "if (gate && *gate != OPEN) return;",
            "for (int c = blockIdx.x; c < n_chunks; c += gridDim.x) {",
            *indented(inner),
            "}",
        ]
        head = GUARDED_HEAD if self.guard else HEAD
        structs = [struct("Chunk", chunk_fields(self.kernel)), struct("Scalars", scalar_fields(self.kernel))]
        return "\n\n".join([*structs, *self.functions(), "\n".join([head, *indented(lines), "}"])])

    def chunk(self) -> list[str]:
        """Statements that run chunk `d`."""
        raise NotImplementedError

    def functions(self) -> list[str]:
        return [piece.text for piece in self.pieces]

    # ---- what is known outside the loop over elements

    def _numbers(self) -> list[str]:
        """Every number of the host under a name of its own, read from the arguments or from the table."""
        lines = []
        by_value = len(self.kernel.scalars) <= BY_VALUE
        for k, scalar in enumerate(self.kernel.scalars):
            bits = f"{'number' if by_value else 'table_number'}(scalars, d.tensor, {k})"
            value = f"float_of((u32){bits})" if dtype_of(scalar) == "float32" else f"double_of({bits})"
            lines.append(f"const {TYPES[dtype_of(scalar)]} s{k} = {value};")
            self.scope.names[id(scalar)] = f"s{k}"
        return lines

    def changing(self, stores: Stores) -> Stores:
        """Stores that change what is in the buffer."""
        return tuple((root, b) for root, b in stores if not puts_back(root, b))

    def levels(self, stores: Stores) -> tuple[list[Node], dict[int, int]]:
        """All that a kernel computes, inputs first, and how many reductions lie below each."""
        order = toposort([root for root, _ in stores], kernel_inputs)
        order = [n for n in order if not is_number(n)]
        return order, depths(order)

    def of_tensor(self, orders: Sequence[Node]) -> list[str]:
        """What is one per tensor and needs no reduction, for a whole chunk at once."""
        depth = depths(orders)
        nodes = [n for n in orders if level_of(n) == Extent.TENSOR and depth[id(n)] == 0]
        pointers = self.pointers(nodes, (), Extent.TENSOR, {})
        self.shallow(self.scope, nodes, "0")
        return [*pointers, *self.scope.lines]

    def shallow(self, scope: Scope, nodes: Sequence[Node], row: str) -> None:
        """Statements for values outside the loop over elements. `row`: the number of the row."""
        for node in nodes:
            if id(node) in scope.names:
                continue
            if node.op == "load":
                scope.let(node, part(f"load_one({buffer_name(self.kernel, node.attrs['index'])})", node))
            elif node.op == "index":
                scope.names[id(node)] = row if level_of(node) == Extent.ROW else "0"
        scope.compute(n for n in nodes if n.op not in LEAVES and n.op not in REDUCTIONS)

    def pointers(
        self, order: Sequence[Node], stores: Stores, level: Extent, offsets: dict[Extent, str]
    ) -> list[str]:
        """Typed pointers to the buffers of extent `level` and wider that `order` reads and `stores` write."""
        used = {n.attrs["index"] for n in order if n.op == "load"} | {b for _, b in stores}
        lines = []
        for b in sorted(used):
            buffer = self.kernel.buffers[b]
            if (buffer.extent == Extent.TENSOR) != (level == Extent.TENSOR):
                continue
            offset = "" if b == self.kernel.sparse else offsets.get(buffer.extent, "")
            type_ = TYPES[buffer.dtype] if buffer.write else f"const {TYPES[buffer.dtype]}"
            plus = f" + {offset}" if offset else ""
            lines.append(f"{type_}* const {buffer_name(self.kernel, b)} = ({type_}*)d.p[{b}]{plus};")
        return lines

    def piece(self, name: str, roots: Sequence[Node], scope: Scope) -> Piece:
        """A function of an element that knows what `scope` does."""
        made = Piece(self.kernel, name, roots, scope.names)
        self.pieces.append(made)
        return made

    def deep(self, stores: Stores) -> Stores:
        return tuple((r, b) for r, b in stores if self.kernel.buffers[b].extent == Extent.ELEMENT)

    def flat(self, stores: Stores) -> Stores:
        """Stores of one value per row or tensor."""
        return tuple((r, b) for r, b in stores if self.kernel.buffers[b].extent != Extent.ELEMENT)

    def store_flat(self, scope: Scope, stores: Stores, row: str = "0") -> list[str]:
        """Statements that store values outside the loop over elements. `row`: the number of the row."""
        lines = []
        for root, b in stores:
            type_ = TYPES[self.kernel.buffers[b].dtype]
            name = buffer_name(self.kernel, b)
            lines += [f"{type_} new_{name};", *scope.assign(f"new_{name}", root)]
            is_tensors = self.kernel.buffers[b].extent == Extent.TENSOR
            is_partial = (
                is_tensors and self.kernel.mode == REDUCE
            )  # nobody keeps those, and the total needs them
            if is_partial or kept(self.guard, b):
                lines.append(f"store_one({name}, new_{name});")
            if not is_partial:
                index = "0" if is_tensors else row
                lines += watch(self.kernel, self.guard, b, f"watch_one<{{}}>(new_{name}, {index}")
        return lines


def shallow_at(order: Sequence[Node], depth: dict[int, int], d: int) -> list[Node]:
    """What is computed outside the loop over elements once `d` reductions are done."""
    return [n for n in order if depth[id(n)] == d and is_shallow(n)]
