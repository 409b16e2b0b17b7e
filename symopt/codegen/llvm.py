"""A kernel as an LLVM module: one function per row variant, and the loops that hand rows and chunks to them.

`@run(job, scratch)` takes chunks off a shared counter until none is left; any number of threads may be in it at once.
`@finish(job)` adds up the partial sums of each tensor. `@step(job, scratch)` is a whole launch on one thread.
"""

from __future__ import annotations

from ..passes.ir import LISTED, STANDARD, Kernel
from .driver import Driver
from .gradient import SparseDriver
from .guard import Guard, metadata
from .row import row_function
from .variant import Variant

RUN = """define void @run(ptr %job, ptr %scratch) {
entry:
  %np = getelementptr i64, ptr %job, i64 1
  %n = load i64, ptr %np
  br label %take
take:
  %c = atomicrmw add ptr %job, i64 1 monotonic
  %more = icmp slt i64 %c, %n
  br i1 %more, label %work, label %out
work:
  call void @chunk(ptr %job, i64 %c, ptr %scratch)
  br label %take
out:
  ret void
}"""

# A pass that only tests goes from the last chunk to the first: the step that follows begins with what is in the cache.
_BACKWARD = RUN.replace(
    "  call void @chunk(ptr %job, i64 %c, ptr %scratch)",
    "  %after = sub i64 %n, %c\n  %k = sub i64 %after, 1\n  call void @chunk(ptr %job, i64 %k, ptr %scratch)",
)

STEP = """define void @step(ptr %job, ptr %scratch) {
entry:
  store i64 0, ptr %job
  call void @run(ptr %job, ptr %scratch)
  call void @finish(ptr %job)
  ret void
}"""


def module_text(kernel: Kernel, guard: Guard | None = None) -> str:
    """The LLVM IR of a kernel: a pure function of the kernel, and of what it tests."""
    variants = _variants(kernel, guard)
    functions: list[str] = []
    intrinsics: set[str] = set()
    for variant in variants.values():
        text, used = row_function(variant)
        functions.append(text)
        intrinsics |= used
    is_sparse = kernel.mode in (LISTED, STANDARD)
    made = SparseDriver if is_sparse else Driver
    driver = made(kernel, variants, guard)
    run = _BACKWARD if guard and guard.dropped else RUN
    functions += [driver.chunk_function(), run, driver.finish_function(), STEP]
    intrinsics |= driver.intrinsics
    loops = [name for name, variant in variants.items() if variant.watched]
    if loops:
        functions.append(metadata(loops))
    return "\n\n".join(["\n".join(sorted(intrinsics)), *functions]) + "\n"


def _variants(kernel: Kernel, guard: Guard | None) -> dict[str, Variant]:
    variants = {"row": Variant(kernel, "row", kernel.stores, guard=guard)}
    if kernel.widened and kernel.widened != kernel.stores:
        variants["row_summed"] = Variant(kernel, "row_summed", kernel.widened, guard=guard)
    if kernel.mode == STANDARD:
        variants["row_absent"] = Variant(kernel, "row_absent", kernel.absent, guard=guard)
    return variants
