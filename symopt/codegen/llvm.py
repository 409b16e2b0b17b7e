"""A kernel as an LLVM module: one function per row variant, and the loops that hand rows and chunks to them.

`@run(job, scratch)` takes chunks off a shared counter until none is left; any number of threads may be in it at once.
`@finish(job)` adds up the partial sums of each tensor. `@step(job, scratch)` is a whole launch on one thread.
"""

from __future__ import annotations

from ..passes.ir import LISTED, STANDARD, Kernel
from .driver import Driver
from .gradient import SparseDriver
from .row import Variant, row_function

_RUN = """define void @run(ptr %job, ptr %scratch) {
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

_STEP = """define void @step(ptr %job, ptr %scratch) {
entry:
  store i64 0, ptr %job
  call void @run(ptr %job, ptr %scratch)
  call void @finish(ptr %job)
  ret void
}"""


def module_text(kernel: Kernel) -> str:
    """The LLVM IR of a kernel: a pure function of the kernel."""
    variants = _variants(kernel)
    functions: list[str] = []
    intrinsics: set[str] = set()
    for variant in variants.values():
        text, used = row_function(variant)
        functions.append(text)
        intrinsics |= used
    is_sparse = kernel.mode in (LISTED, STANDARD)
    driver = SparseDriver(kernel, variants) if is_sparse else Driver(kernel, variants)
    functions += [driver.chunk_function(), _RUN, driver.finish_function(), _STEP]
    intrinsics |= driver.intrinsics
    return "\n\n".join(["\n".join(sorted(intrinsics)), *functions]) + "\n"


def _variants(kernel: Kernel) -> dict[str, Variant]:
    variants = {"row": Variant(kernel, "row", kernel.stores)}
    if kernel.widened and kernel.widened != kernel.stores:
        variants["row_summed"] = Variant(kernel, "row_summed", kernel.widened)
    if kernel.mode == STANDARD:
        variants["row_absent"] = Variant(kernel, "row_absent", kernel.absent)
    return variants
