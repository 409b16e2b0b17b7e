"""A kernel as an LLVM module: one function per row variant, and the loops that hand rows and chunks to them.

`@run(job, scratch)` takes chunks off a shared counter until none is left; any number of threads may be in it at once.
`@finish(job)` adds up the partial sums of each tensor. `@step(job, scratch)` is a whole launch on one thread.

A job is an array of int64: the counter, the number of chunks, and pointers to the chunks (tensor, start, stop), to
the table of tensors (WIDTH words each, then one pointer per buffer) and to their scalars (8 bytes each).
"""

from __future__ import annotations

from ..passes.ir import LISTED, REDUCE, STANDARD, Kernel
from ..prims import REDUCTIONS
from .emit import BLOCK, SIZES, TYPES, Emitter, constant, dtype_of
from .row import Variant, combine, row_function
from ..expr import Extent

JOB_WORDS = 8
# Words of a tensor before its buffers: columns, and of the sparse gradient: number of segments, rows, starts, order.
COLS, SEGMENTS, ROWS, STARTS, ORDER, WIDTH = 0, 1, 2, 3, 4, 5
PREFETCH_AHEAD = 6


def module_text(kernel: Kernel) -> str:
    """The LLVM IR of a kernel: a pure function of the kernel."""
    present = Variant(kernel, "row", kernel.stores)
    functions: list[str] = []
    intrinsics: set[str] = set()
    variants = {"row": present}
    if kernel.widened and kernel.widened != kernel.stores:
        variants["row_summed"] = Variant(kernel, "row_summed", kernel.widened)
    if kernel.mode == STANDARD:
        variants["row_absent"] = Variant(kernel, "row_absent", kernel.absent)
    for variant in variants.values():
        text, used = row_function(variant)
        functions.append(text)
        intrinsics |= used
    driver = _Driver(kernel, variants)
    functions += [driver.chunk_function(), _RUN, driver.finish_function(), _STEP]
    intrinsics |= driver.intrinsics
    return "\n\n".join(["\n".join(sorted(intrinsics)), *functions]) + "\n"


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


class _Driver(Emitter):
    def __init__(self, kernel: Kernel, variants: dict[str, Variant]) -> None:
        super().__init__(kernel)
        self.variants = variants
        self.cols = "%cols"
        self.base: dict[int, str] = {}
        self.scalars: list[str] = []

    # ---- what a chunk is made of

    def chunk_function(self) -> str:
        self.put("%chunksp = getelementptr i64, ptr %job, i64 2")
        self.put("%chunks = load ptr, ptr %chunksp")
        self.put("%at = mul i64 %c, 3")
        for k, name in enumerate(("t", "start", "stop")):
            self.put(f"%{name}i = add i64 %at, {k}")
            self.put(f"%{name}p = getelementptr i64, ptr %chunks, i64 %{name}i")
            self.put(f"%{name} = load i64, ptr %{name}p")
        self._tensor("%t")
        if self.kernel.mode == LISTED:
            self._listed()
        elif self.kernel.mode == STANDARD:
            self._standard()
        elif self.kernel.mode == REDUCE:
            self._blocks()
        elif self.kernel.rows:
            self._rows()
        else:
            self._flat("row", "%start", "%stop")
        self.put("ret void")
        return "\n".join(
            ["define internal void @chunk(ptr %job, i64 %c, ptr %scratch) {", "entry:", *self.lines, "}"]
        )

    def _tensor(self, t: str) -> None:
        """Read a tensor's entry in the table: its pointers and scalars."""
        width = WIDTH + len(self.kernel.buffers)
        self.put("%tablep = getelementptr i64, ptr %job, i64 3")
        self.put("%table = load ptr, ptr %tablep")
        self.put(f"%rowi = mul i64 {t}, {width}")
        self.put("%entry_ = getelementptr i64, ptr %table, i64 %rowi")
        self.put("%cols = load i64, ptr %entry_")
        for b, buffer in enumerate(self.kernel.buffers):
            if buffer.read or buffer.write:
                self.base[b] = self._word(WIDTH + b, "ptr")
        self.put("%scalarsp = getelementptr i64, ptr %job, i64 4")
        self.put("%scalars = load ptr, ptr %scalarsp")
        self.put(f"%first = mul i64 {t}, {len(self.kernel.scalars)}")
        for k, scalar in enumerate(self.kernel.scalars):
            index = self.let(f"add i64 %first, {k}")
            pointer = self.let(f"getelementptr double, ptr %scalars, i64 {index}")
            self.scalars.append(self.let(f"load {TYPES[dtype_of(scalar)]}, ptr {pointer}, align 8"))

    def _word(self, k: int, type_: str = "i64") -> str:
        pointer = self.let(f"getelementptr i64, ptr %entry_, i64 {k}")
        return self.let(f"load {type_}, ptr {pointer}, align 8")

    def _call(self, name: str, n: str, row: str, first: str, sparse: str = "") -> None:
        """Call a row function on the row `row`, whose first element is number `first`."""
        variant = self.variants[name]
        arguments = []
        for b in variant.buffers:
            buffer = self.kernel.buffers[b]
            if b == self.kernel.sparse and sparse:
                arguments.append(f"ptr {sparse}")
            elif buffer.extent == Extent.TENSOR:
                arguments.append(f"ptr {self.base[b]}")
            else:
                index = row if buffer.extent == Extent.ROW else first
                arguments.append(f"ptr {self.pointer(self.base[b], index, buffer.dtype)}")
        arguments.append(f"i64 {n}")
        for scalar, name_ in zip(self.kernel.scalars, self.scalars, strict=True):
            arguments.append(f"{TYPES[dtype_of(scalar)]} {name_}")
        self.put(f"call void @{variant.name}({', '.join(arguments)})")

    def _flat(self, name: str, start: str, stop: str) -> None:
        n = self.let(f"sub i64 {stop}, {start}")
        self._call(name, n, "0", start)

    # ---- loops over rows

    def _loop(self, tag: str, start: str, stop: str) -> str:
        """Open a counting loop; close it with _end. The counter."""
        self.put(f"%{tag}.any = icmp slt i64 {start}, {stop}")
        self.put(f"br label %{tag}.enter")
        self.label(f"{tag}.enter")
        self.put(f"br i1 %{tag}.any, label %{tag}.head, label %{tag}.exit")
        self.label(f"{tag}.head")
        self.put(f"%{tag} = phi i64 [ {start}, %{tag}.enter ], [ %{tag}.next, %{tag}.latch ]")
        return f"%{tag}"

    def _end(self, tag: str, stop: str) -> None:
        self.put(f"br label %{tag}.latch")
        self.label(f"{tag}.latch")
        self.put(f"%{tag}.next = add i64 %{tag}, 1")
        self.put(f"%{tag}.more = icmp slt i64 %{tag}.next, {stop}")
        self.put(f"br i1 %{tag}.more, label %{tag}.head, label %{tag}.exit")
        self.label(f"{tag}.exit")

    def _rows(self) -> None:
        row = self._loop("r", "%start", "%stop")
        first = self.let(f"mul i64 {row}, %cols")
        self._call("row", "%cols", row, first)
        self._end("r", "%stop")

    def _blocks(self) -> None:
        """A chunk of a reduction is a run of blocks; `cols` is the number of elements of the tensor."""
        row = self._loop("b", "%start", "%stop")
        first = self.let(f"mul i64 {row}, {BLOCK}")
        left = self.let(f"sub i64 %cols, {first}")
        short = self.let(f"icmp slt i64 {left}, {BLOCK}")
        n = self.let(f"select i1 {short}, i64 {left}, i64 {BLOCK}")
        partials = {b: self.base[b] for _, b in self.kernel.stores if self.kernel.buffers[b].extent == Extent.TENSOR}
        for b, base in partials.items():
            self.base[b] = self.pointer(base, row, self.kernel.buffers[b].dtype)
        self._call("row", n, row, first)
        self.base.update(partials)
        self._end("b", "%stop")

    # ---- the sparse gradient

    def _sparse_words(self) -> None:
        for name, k in (("segments", SEGMENTS), ("rows", ROWS), ("starts", STARTS), ("order", ORDER)):
            self.put(f"%{name}p2 = getelementptr i64, ptr %entry_, i64 {k}")
            type_ = "i64" if name == "segments" else "ptr"
            self.put(f"%{name} = load {type_}, ptr %{name}p2, align 8")
        self.put("%plain = icmp eq ptr %starts, null")

    def _listed(self) -> None:
        self._sparse_words()
        self.put("%last = sub i64 %segments, 1")
        s = self._loop("s", "%start", "%stop")
        self._prefetch(s)
        row = self.let(f"load i64, ptr {self.let(f'getelementptr i64, ptr %rows, i64 {s}')}")
        self._segment(s, row)
        self._end("s", "%stop")

    def _prefetch(self, s: str) -> None:
        """Ask for the rows a few segments ahead: they lie anywhere in a table larger than the caches."""
        self.intrinsics.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        ahead = self.let(f"add i64 {s}, {PREFETCH_AHEAD}")
        within = self.let(f"icmp slt i64 {ahead}, %last")
        k = self.let(f"select i1 {within}, i64 {ahead}, i64 %last")
        row = self.let(f"load i64, ptr {self.let(f'getelementptr i64, ptr %rows, i64 {k}')}")
        first = self.let(f"mul i64 {row}, %cols")
        for b, buffer in enumerate(self.kernel.buffers):
            if b == self.kernel.sparse or b not in self.base or buffer.extent == Extent.TENSOR:
                continue
            index = row if buffer.extent == Extent.ROW else first
            pointer = self.pointer(self.base[b], index, buffer.dtype)
            write = 1 if buffer.write else 0
            if buffer.extent == Extent.ROW:
                self.put(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {write}, i32 3, i32 1)")
                continue
            tag = f"pf{b}"
            size = self.let(f"mul i64 %cols, {SIZES[buffer.dtype]}")
            long = self.let(f"icmp sgt i64 {size}, 1024")
            cut = self.let(f"select i1 {long}, i64 1024, i64 {size}")
            lines = self.let(f"lshr i64 {self.let(f'add i64 {cut}, 63')}, 6")
            line = self._loop(tag, "0", lines)
            offset = self.let(f"shl i64 {line}, 6")
            where = self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")
            self.put(f"call void @llvm.prefetch.p0(ptr {where}, i32 {write}, i32 3, i32 1)")
            self._end(tag, lines)

    def _segment(self, s: str, row: str) -> None:
        """Run the formula on one row of the gradient, summed first if it occurs more than once."""
        sparse = self.kernel.sparse
        dtype = self.kernel.buffers[sparse].dtype
        first = self.let(f"mul i64 {row}, %cols")
        data = self.base.get(sparse, "null")
        self.put("br i1 %plain, label %single.plain, label %several")
        self.label("single.plain")
        offset = self.let(f"mul i64 {s}, %cols")
        direct = self.pointer(data, offset, dtype)
        self.put("br label %single")
        self.label("several")
        startp = self.let(f"getelementptr i64, ptr %starts, i64 {s}")
        begin = self.let(f"load i64, ptr {startp}")
        end = self.let(f"load i64, ptr {self.let(f'getelementptr i64, ptr {startp}, i64 1')}")
        position = self.let(f"load i64, ptr {self.let(f'getelementptr i64, ptr %order, i64 {begin}')}")
        indirect = self.pointer(data, self.let(f"mul i64 {position}, %cols"), dtype)
        count = self.let(f"sub i64 {end}, {begin}")
        is_one = self.let(f"icmp eq i64 {count}, 1")
        self.put(f"br i1 {is_one}, label %single, label %sum")
        self.label("single")
        pointer = self.let(f"phi ptr [ {direct}, %single.plain ], [ {indirect}, %several ]")
        self._call("row", "%cols", row, first, pointer)
        self.put("br label %segment.done")
        self.label("sum")
        self._sum(begin, end, indirect, data, dtype)
        self._call("row_summed" if "row_summed" in self.variants else "row", "%cols", row, first, "%scratch")
        self.put("br label %segment.done")
        self.label("segment.done")

    def _sum(self, begin: str, end: str, first: str, data: str, dtype: str) -> None:
        """Into scratch: the rows of a segment added in order of occurrence, in the dtype of the computation."""
        wide = TYPES["float64" if dtype == "float64" else "float32"]
        compute = "float64" if dtype == "float64" else "float32"

        def widened(pointer: str, i: str) -> str:
            value = self.let(f"load {TYPES[dtype]}, ptr {self.pointer(pointer, i, dtype)}, align {SIZES[dtype]}")
            return value if dtype == compute else self.convert(value, dtype, compute, 1)

        i = self._loop("i", "0", "%cols")
        self.put(f"store {wide} {widened(first, i)}, ptr {self.pointer('%scratch', i, compute)}")
        self._end("i", "%cols")
        second = self.let(f"add i64 {begin}, 1")
        k = self._loop("k", second, end)
        position = self.let(f"load i64, ptr {self.let(f'getelementptr i64, ptr %order, i64 {k}')}")
        row = self.pointer(data, self.let(f"mul i64 {position}, %cols"), dtype)
        i = self._loop("i2", "0", "%cols")
        target = self.pointer("%scratch", i, compute)
        total = self.let(f"fadd {wide} {self.let(f'load {wide}, ptr {target}')}, {widened(row, i)}")
        self.put(f"store {wide} {total}, ptr {target}")
        self._end("i2", "%cols")
        self._end("k", end)

    def _standard(self) -> None:
        """Every row in order; `s` walks the segments beside them, found by bisection for the first row."""
        self._sparse_words()
        low = self._bisect()
        self.put("br label %walk")
        self.label("walk")
        self.put(f"%row = phi i64 [ %start, %found ], [ %row.next, %advance ]")
        self.put(f"%s = phi i64 [ {low}, %found ], [ %s.next, %advance ]")
        self.put("%left = icmp slt i64 %row, %stop")
        self.put("br i1 %left, label %look, label %finished")
        self.label("look")
        self.put("%in = icmp slt i64 %s, %segments")
        self.put("br i1 %in, label %peek, label %nothing")
        self.label("peek")
        self.put("%touchp = getelementptr i64, ptr %rows, i64 %s")
        self.put("%touch = load i64, ptr %touchp")
        self.put("%soon = icmp slt i64 %touch, %stop")
        self.put("br label %nothing")
        self.label("nothing")
        self.put("%hit = phi i1 [ false, %look ], [ %soon, %peek ]")
        self.put("%at2 = phi i64 [ %stop, %look ], [ %touch, %peek ]")
        self.put("%until = select i1 %hit, i64 %at2, i64 %stop")
        self._absent("%row", "%until")
        self.put("br i1 %hit, label %touched, label %advance")
        self.label("touched")
        self._segment("%s", "%until")
        self.put("br label %advance")
        self.label("advance")
        self.put("%step = zext i1 %hit to i64")
        self.put("%row.next = add i64 %until, %step")
        self.put("%s.next = add i64 %s, %step")
        self.put("br label %walk")
        self.label("finished")

    def _absent(self, start: str, stop: str) -> None:
        """Rows without gradient: one flat run when nothing in the formula is per row."""
        if self.variants["row_absent"].per_row:
            row = self._loop("a", start, stop)
            self._call("row_absent", "%cols", row, self.let(f"mul i64 {row}, %cols"))
            self._end("a", stop)
        else:
            n = self.let(f"mul i64 {self.let(f'sub i64 {stop}, {start}')}, %cols")
            self._call("row_absent", n, start, self.let(f"mul i64 {start}, %cols"))

    def _bisect(self) -> str:
        self.put("br label %search")
        self.label("search")
        self.put("%lo = phi i64 [ 0, %entry ], [ %lo2, %narrow ]")
        self.put("%hi = phi i64 [ %segments, %entry ], [ %hi2, %narrow ]")
        self.put("%open = icmp slt i64 %lo, %hi")
        self.put("br i1 %open, label %narrow, label %found")
        self.label("narrow")
        self.put("%both = add i64 %lo, %hi")
        self.put("%mid = lshr i64 %both, 1")
        self.put("%midp = getelementptr i64, ptr %rows, i64 %mid")
        self.put("%midrow = load i64, ptr %midp")
        self.put("%below = icmp slt i64 %midrow, %start")
        self.put("%mid1 = add i64 %mid, 1")
        self.put("%lo2 = select i1 %below, i64 %mid1, i64 %lo")
        self.put("%hi2 = select i1 %below, i64 %hi, i64 %mid")
        self.put("br label %search")
        self.label("found")
        return "%lo"

    # ---- partial sums

    def finish_function(self) -> str:
        """Adds each tensor's partial results in order, in float64, and rounds once."""
        sums = [(root, b) for root, b in self.kernel.stores if self.kernel.buffers[b].extent == Extent.TENSOR]
        if self.kernel.mode != REDUCE or not sums:
            return "define void @finish(ptr %job) {\n  ret void\n}"
        self.lines, self.names, self.base, self.scalars = [], {}, {}, []
        self.put("%tensorsp = getelementptr i64, ptr %job, i64 5")
        self.put("%tensors = load i64, ptr %tensorsp")
        self._loop("t", "0", "%tensors")
        self._tensor("%t")
        self.put("%resultsp = getelementptr i64, ptr %job, i64 6")
        self.put("%results = load ptr, ptr %resultsp")
        blocks = self.let(f"sdiv i64 {self.let(f'add i64 %cols, {BLOCK - 1}')}, {BLOCK}")
        for k, (root, b) in enumerate(sums):
            self._fold_partials(k, root, b, blocks, len(sums))
        self._end("t", "%tensors")
        self.put("ret void")
        return "\n".join(["define void @finish(ptr %job) {", "entry:", *self.lines, "}"])

    def _fold_partials(self, k: int, root: object, b: int, blocks: str, count: int) -> None:
        from ..expr import Node

        assert isinstance(root, Node)
        dtype = self.kernel.buffers[b].dtype
        how = REDUCTIONS[root.op]
        tag = f"f{k}"
        before = self.fresh("before")[1:]
        self.put(f"br label %{before}")
        self.label(before)
        self.put(f"%{tag}.any = icmp sgt i64 {blocks}, 0")
        self.put(f"br i1 %{tag}.any, label %{tag}.loop, label %{tag}.out")
        self.label(f"{tag}.loop")
        self.put(f"%{tag}.i = phi i64 [ 0, %{before} ], [ %{tag}.in, %{tag}.loop ]")
        hole = self.hole()
        value = self.let(f"load {TYPES[dtype]}, ptr {self.pointer(self.base[b], f'%{tag}.i', dtype)}")
        value = value if dtype == "float64" else self.let(f"fpext {TYPES[dtype]} {value} to double")
        start = constant(how.identity, "float64")
        total = combine(self, how.combine, f"%{tag}.total", value, "double")
        self.fill(hole, f"%{tag}.total = phi double [ {start}, %{before} ], [ {total}, %{tag}.loop ]")
        self.put(f"%{tag}.in = add i64 %{tag}.i, 1")
        self.put(f"%{tag}.more = icmp slt i64 %{tag}.in, {blocks}")
        self.put(f"br i1 %{tag}.more, label %{tag}.loop, label %{tag}.out")
        self.label(f"{tag}.out")
        result = self.let(f"phi double [ {start}, %{before} ], [ {total}, %{tag}.loop ]")
        result = result if dtype == "float64" else self.let(f"fptrunc double {result} to {TYPES[dtype]}")
        index = self.let(f"add i64 {self.let(f'mul i64 %t, {count}')}, {k}")
        pointer = self.let(f"load ptr, ptr {self.let(f'getelementptr ptr, ptr %results, i64 {index}')}")
        self.put(f"store {TYPES[dtype]} {result}, ptr {pointer}")
