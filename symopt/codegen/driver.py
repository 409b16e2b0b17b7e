"""The loops around a row function: chunks, rows, blocks, and the sum of partial results."""

from __future__ import annotations

from ..canonical import BLOCK
from ..expr import Extent, Node
from ..passes.ir import REDUCE, Kernel
from ..prims import REDUCTIONS
from .emit import TYPES, Emitter, constant
from .guard import Guard, is_bad, report
from .nodes import dtype_of
from .row import combine
from .variant import Variant

# A job is an array of int64: the counter, the number of chunks, addresses of the chunks (tensor, start, stop), of the
# table of tensors and of their scalars (8 bytes each), the number of tensors, the address of pointers to results, and
# for kernels with a guard that of a byte for each tensor, set if what is stored there is not finite.
JOB_WORDS = 8
# Words of a tensor before its buffers: columns, and of the sparse gradient: number of segments, rows, starts, order.
COLS, SEGMENTS, ROWS, STARTS, ORDER, WIDTH = 0, 1, 2, 3, 4, 5


class Driver(Emitter):
    """Emits `@chunk`, which runs one chunk, and `@finish`; subclasses say how a chunk runs."""

    def __init__(self, kernel: Kernel, variants: dict[str, Variant], guard: Guard | None = None) -> None:
        super().__init__(kernel)
        self.variants = variants
        self.guard = guard
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
        tests = any(variant.watched for variant in self.variants.values())
        if tests:
            self.put("%mark = alloca i8")
            self.put("store i8 0, ptr %mark")
        self.body()
        if tests:
            found = self.let(f"icmp ne i8 {self.let('load i8, ptr %mark')}, 0")
            report(self, found, "%flag", "chunk")
        self.put("ret void")
        return "\n".join(
            ["define internal void @chunk(ptr %job, i64 %c, ptr %scratch) {", "entry:", *self.lines, "}"]
        )

    def body(self) -> None:
        """Run the chunk from %start to %stop of tensor %t."""
        if self.kernel.mode == REDUCE:
            self._blocks()
        elif self.kernel.rows:
            self._rows()
        else:
            self._flat("row", "%start", "%stop")

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
        if self.guard:
            self.put("%flagsp = getelementptr i64, ptr %job, i64 7")
            self.put("%flags = load ptr, ptr %flagsp")
            self.put(f"%flag = getelementptr i8, ptr %flags, i64 {t}")
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
        if variant.indexed:
            arguments += [f"i64 {first}", f"i64 {row}"]
        for scalar, name_ in zip(self.kernel.scalars, self.scalars, strict=True):
            arguments.append(f"{TYPES[dtype_of(scalar)]} {name_}")
        if variant.watched:
            arguments.append("ptr %mark")
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
        partials = {
            b: self.base[b] for _, b in self.kernel.stores if self.kernel.buffers[b].extent == Extent.TENSOR
        }
        for b, base in partials.items():
            self.base[b] = self.pointer(base, row, self.kernel.buffers[b].dtype)
        self._call("row", n, row, first)
        self.base.update(partials)
        self._end("b", "%stop")

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

    def _fold_partials(self, k: int, root: Node, b: int, blocks: str, count: int) -> None:
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
        if self.guard and b in self.guard.watched:
            report(self, is_bad(self, result, dtype), "%flag", tag)
        if self.guard and b in self.guard.dropped:
            return
        index = self.let(f"add i64 {self.let(f'mul i64 %t, {count}')}, {k}")
        pointer = self.let(f"load ptr, ptr {self.let(f'getelementptr ptr, ptr %results, i64 {index}')}")
        self.put(f"store {TYPES[dtype]} {result}, ptr {pointer}")
