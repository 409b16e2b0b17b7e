"""The ways in which a kernel may run a row: what each stores, reads and tests."""

from __future__ import annotations

from ..build import kernel_inputs
from ..expr import Extent, Node, toposort
from ..passes.ir import REDUCE, Kernel, puts_back
from ..prims import REDUCTIONS
from .emit import TYPES
from .guard import Guard
from .nodes import dtype_of, level_of, safe


class Variant:
    """One way to run a kernel's row: its stores after the sparse gradient was put in, and the parameters left."""

    def __init__(
        self,
        kernel: Kernel,
        name: str,
        stores: tuple[tuple[Node, int], ...],
        widened: bool = False,
        guard: Guard | None = None,
        inline: bool = False,
    ) -> None:
        self.kernel = kernel
        self.name = name
        self.inline = inline  # where its rows are of one length, known to the caller
        # A store of what the buffer already holds is none.
        self.stores = tuple((root, b) for root, b in stores if not puts_back(root, b))
        self.order = toposort([root for root, _ in self.stores], kernel_inputs)
        loaded = {n.attrs["index"] for n in self.order if n.op == "load"}
        self.buffers = sorted(loaded | {b for _, b in self.stores})
        own = {b for b in range(len(kernel.buffers)) if not self._is_partial(b)}
        self.dropped = own.intersection(guard.dropped if guard else ())
        self.watched = tuple((root, b) for root, b in self.stores if guard and b in own & {*guard.watched})
        self.widened = widened  # the sparse buffer holds sums in the dtype of the computation
        self.indexed = any(n.op == "index" for n in self.order)
        self.per_row = any(
            n.op in REDUCTIONS
            or n.op == "column"
            or (n.op in ("load", "index") and level_of(n) == Extent.ROW)
            for n in self.order
        ) or any(kernel.buffers[b].extent == Extent.ROW for _, b in self.stores)

    def _is_partial(self, b: int) -> bool:
        """Whether partial results of a sum go there: nobody keeps those, and their total needs them."""
        return self.kernel.mode == REDUCE and self.kernel.buffers[b].extent == Extent.TENSOR

    def parameters(self) -> list[str]:
        """The function's parameters as LLVM declares them."""
        pointers = [f"ptr noalias %{name}" for name in self.pointer_names()]
        scalars = [f"{TYPES[dtype_of(s)]} %s{k}" for k, s in enumerate(self.kernel.scalars)]
        places = ["i64 %first", "i64 %row"] if self.indexed else []
        flag = ["ptr noalias %mark"] if self.watched else []
        return [*pointers, "i64 %n", *places, *scalars, *flag]

    def pointer_names(self) -> list[str]:
        return [f"{safe(self.kernel.buffers[b].name)}.{b}" for b in self.buffers]


# LLVM would unroll a loop over few elements before it looks for vectors, and find none. So that waits.
VECTORS_FIRST = """\
!0 = distinct !{!0, !1, !2}
!1 = !{!"llvm.loop.unroll.disable"}
!2 = !{!"llvm.loop.vectorize.followup_vectorized", !3}
!3 = !{!"llvm.loop.isvectorized", i32 1}"""


def end_of_loop(variant: Variant) -> str:
    """What the branch at the end of the loop over a row's elements says of it, where the row's length is known."""
    return ", !llvm.loop !0" if variant.inline else ""


def inlining(variant: Variant) -> str:
    """A test at the end of each row costs less where the next row is in sight."""
    return "alwaysinline" if variant.watched or variant.inline else "noinline"
