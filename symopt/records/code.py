"""A row plan as one LLVM function: every kernel of the graph on one row, then the next row.

A row's values are in the cache when the second kernel wants them, and all lengths and offsets are constants of the
code, so LLVM unrolls and vectorises each segment for its width.
"""

from __future__ import annotations

from ..codegen.emit import TYPES, Emitter
from ..codegen.llvm import RUN, STEP
from ..codegen.nodes import SIZES, dtype_of
from ..codegen.row import row_function
from ..codegen.variant import VECTORS_FIRST, Variant
from ..expr import Extent
from ..passes.calls import size_of
from ..passes.ir import DENSE, Instance, Kernel
from ..splitmix import LAST, STEPS
from .layout import ABSENT, ID, TIMESTAMP, UPDATES
from .plan import RECORD, SCRATCH, Field, RowPlan, Spot

# A job is an array of int64: the counter, the number of chunks, rows in a chunk, rows, then the addresses of the
# records, of the slots and of the numbers, how many words the numbers of a row are after those before, the word of the
# seed, the second, and for each batch array its address and bytes from row to row.
COUNTER, CHUNKS, PER_CHUNK, N, RECORDS, SLOTS, NUMBERS, STEP_OF_NUMBERS, SEED, NOW, ARRAYS = range(11)
AHEAD = 6144  # bytes of rows that are asked for before they are worked on, so that the processor always waits for some
FEWEST_AHEAD, MOST_AHEAD = 8, 64  # rows
LINE = 64
MOST_LINES = 32
MOST_UPDATES = ABSENT - 1


def module_text(plan: RowPlan, stamps: bool) -> str:
    """The module: `@run`, `@finish` and `@step`, as every kernel has them. `stamps`: rows count the update, and get the
    second. A slot below 0 is no row: nothing is read there, and outputs are zero."""
    variants: dict[int, Variant] = {}
    for launch in plan.program.launches:
        kernel = launch.kernel
        if id(kernel) not in variants:
            name = f"kernel{len(variants)}"
            variants[id(kernel)] = Variant(kernel, name, kernel.stores, inline=True)
    functions, intrinsics = [], set()
    for variant in variants.values():
        text, used = row_function(variant)
        functions.append(text)
        intrinsics |= used
    code = _Rows(plan, variants, stamps)
    functions += [code.text(), RUN, "define void @finish(ptr %job) {\n  ret void\n}", STEP, VECTORS_FIRST]
    return "\n\n".join(["\n".join(sorted(intrinsics | code.intrinsics)), *functions]) + "\n"


_NO_KERNEL = Kernel("moves", DENSE, False, (), (), (), ())


class _Rows(Emitter):
    """Emits `@chunk`."""

    def __init__(self, plan: RowPlan, variants: dict[int, Variant], stamps: bool) -> None:
        super().__init__(next((x.kernel for x in plan.program.launches), _NO_KERNEL))
        self.plan = plan
        self.variants = variants
        self.stamps = stamps
        self.is_indexed = any(v.indexed for v in variants.values())
        self.words: dict[str, str] = {}
        self.bases: dict[int, str] = {}

    def text(self) -> str:
        self._head()
        self.put("br label %rows")
        self.label("rows")
        self.put("%e = phi i64 [ %start, %entry ], [ %next, %done ]")
        self._prefetch()
        slot = self.let(f"load i64, ptr {self._element('slots', '%e')}")
        self._bases(slot)
        self.put(f"%absent = icmp slt i64 {slot}, 0")
        self.put("br i1 %absent, label %nothing, label %present")
        self.label("present")
        self._row()
        self.put("br label %done")
        self.label("nothing")
        self._blank()
        self.put("br label %done")
        self.label("done")
        self.put("%next = add i64 %e, 1")
        self.put("%more = icmp slt i64 %next, %stop")
        self.put("br i1 %more, label %rows, label %out")
        self.label("out")
        self.put("ret void")
        head = "define internal void @chunk(ptr noalias %job, i64 %c, ptr noalias %scratch) {"
        return "\n".join([head, "entry:", *self.lines, "}"])

    # ---- once for a chunk

    def _head(self) -> None:
        if self.plan.scratch:
            self.put(f"%temporary = alloca [{self.plan.scratch} x i8], align 64")
            self.bases[SCRATCH] = "%temporary"
        names = ("per", "n", "records", "slots", "numbers", "stride", "seed", "now")
        for k, name in enumerate(names, PER_CHUNK):
            type_ = "ptr" if name in ("records", "slots", "numbers") else "i64"
            self.words[name] = self._word(k, type_)
        for k in range(len(self.plan.arrays)):
            self.words[f"array{k}"] = self._word(ARRAYS + 2 * k, "ptr")
            self.words[f"stride{k}"] = self._word(ARRAYS + 2 * k + 1, "i64")
        self.put(f"%start = mul i64 %c, {self.words['per']}")
        end = self.let(f"add i64 %start, {self.words['per']}")
        short = self.let(f"icmp slt i64 {self.words['n']}, {end}")
        self.put(f"%stop = select i1 {short}, i64 {self.words['n']}, i64 {end}")
        self.put("%last = sub i64 %stop, 1")

    def _word(self, k: int, type_: str) -> str:
        return self.let(f"load {type_}, ptr {self.let(f'getelementptr i64, ptr %job, i64 {k}')}, align 8")

    def _element(self, name: str, index: str) -> str:
        return self.let(f"getelementptr i64, ptr {self.words[name]}, i64 {index}")

    # ---- once for a row

    def _bases(self, slot: str) -> None:
        """Where the row begins in the records and in each batch array, and its numbers."""
        offset = self.let(f"mul i64 {slot}, {self.plan.layout.stride}")
        self.bases[RECORD] = self.let(f"getelementptr i8, ptr {self.words['records']}, i64 {offset}")
        for k in range(len(self.plan.arrays)):
            offset = self.let(f"mul i64 %e, {self.words[f'stride{k}']}")
            self.bases[k] = self.let(f"getelementptr i8, ptr {self.words[f'array{k}']}, i64 {offset}")

    def _prefetch(self) -> None:
        """Ask for what the plan touches of a record some rows ahead: they lie anywhere in memory."""
        self.intrinsics.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        begin, end = self._touched()
        rows = min(max(AHEAD // (end - begin), FEWEST_AHEAD), MOST_AHEAD)
        ahead = self.let(f"add i64 %e, {rows}")
        within = self.let(f"icmp slt i64 {ahead}, %last")
        k = self.let(f"select i1 {within}, i64 {ahead}, i64 %last")
        slot = self.let(f"load i64, ptr {self._element('slots', k)}")
        offset = self.let(f"mul i64 {slot}, {self.plan.layout.stride}")
        record = self.let(f"getelementptr i8, ptr {self.words['records']}, i64 {offset}")
        write = int(self.stamps)
        lines = [*range(begin, end, LINE)][:MOST_LINES]
        for at in (*lines, end - 1):
            where = self.let(f"getelementptr i8, ptr {record}, i64 {at}")
            self.put(f"call void @llvm.prefetch.p0(ptr {where}, i32 {write}, i32 3, i32 1)")

    def _touched(self) -> tuple[int, int]:
        """The bytes of a record that are read or written, from the first to the last."""
        places = [*(b.place for b in self.plan.bound.values()), *self.plan.outputs]
        columns = [self.plan.layout[place] for place in places if isinstance(place, str)]
        if self.stamps or self.is_indexed or not columns:
            columns += [self.plan.layout[name] for name in (ID, TIMESTAMP, UPDATES)]
        return min(c.offset for c in columns), max(c.offset + c.nbytes for c in columns)

    def _row(self) -> None:
        first = self._first() if self.is_indexed else "0"
        numbers = self._element("numbers", self.let(f"mul i64 %e, {self.words['stride']}"))
        at = 0
        for launch in self.plan.program.launches:
            for instance in launch.instances:
                scalars = self._scalars(launch.kernel, numbers, at)
                at += len(scalars)
                self._instance(launch.kernel, instance, scalars, first)
        for value, name in self.plan.program.copies:
            self._move(
                self.plan.spots[name], self.plan.spot(value), size_of(value.shape) * SIZES[value.dtype]
            )
        for target, head in zip(self.plan.outputs, self.plan.program.lowered.heads, strict=False):
            if target is not None and head.variable is not None:  # nothing to compute
                n_bytes = size_of(head.shape) * SIZES[head.dtype]
                self._move(self.plan.place(target), self.plan.spot(head), n_bytes)
        if self.stamps:
            self._stamp()

    def _first(self) -> str:
        """records.mix.first_of, for one row."""
        x = self.let(f"load i64, ptr {self._at(RECORD, self.plan.layout[ID].offset)}")
        x = self.let(f"xor i64 {x}, {self.words['seed']}")
        for shift, factor in (*STEPS, (LAST, 1)):
            shifted = self.let(f"lshr i64 {x}, {shift}")
            x = self.let(f"mul i64 {self.let(f'xor i64 {x}, {shifted}')}, {factor}")
        return x

    def _scalars(self, kernel: Kernel, numbers: str, at: int) -> list[str]:
        found = []
        for k, scalar in enumerate(kernel.scalars):
            pointer = self.let(f"getelementptr double, ptr {numbers}, i64 {at + k}")
            type_ = TYPES[dtype_of(scalar)]
            found.append(f"{type_} {self.let(f'load {type_}, ptr {pointer}, align 8')}")
        return found

    def _instance(self, kernel: Kernel, instance: Instance, scalars: list[str], first: str) -> None:
        """Call a kernel on all rows that its domain has within this row of the table."""
        size = size_of(instance.domain)
        n_rows = instance.domain[0] if kernel.rows and instance.domain else 1
        width = size // n_rows if n_rows else 0
        variant = self.variants[id(kernel)]
        for row in range(n_rows):
            arguments = []
            for b in variant.buffers:
                buffer, spot = kernel.buffers[b], self.plan.spot(instance.values[b])
                steps = {Extent.ROW: row, Extent.ELEMENT: row * width}.get(buffer.extent, 0)
                arguments.append(f"ptr {self._at(spot.base, spot.offset + steps * SIZES[buffer.dtype])}")
            arguments.append(f"i64 {width}")
            if variant.indexed:
                begin = first if not row else self.let(f"add i64 {first}, {row * width}")
                arguments += [f"i64 {begin}", f"i64 {begin}"]
            self.put(f"call void @{variant.name}({', '.join([*arguments, *scalars])})")

    def _at(self, base: int, offset: int) -> str:
        return self.let(f"getelementptr i8, ptr {self.bases[base]}, i64 {offset}")

    def _move(self, target: Spot, source: Spot, n_bytes: int) -> None:
        self.intrinsics.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        to, of = self._at(*target), self._at(*source)
        self.put(f"call void @llvm.memcpy.p0.p0.i64(ptr {to}, ptr {of}, i64 {n_bytes}, i1 false)")

    def _stamp(self) -> None:
        layout = self.plan.layout
        now = self.let(f"trunc i64 {self.words['now']} to i32")
        self.put(f"store i32 {now}, ptr {self._at(RECORD, layout[TIMESTAMP].offset)}")
        at = self._at(RECORD, layout[UPDATES].offset)
        count = self.let(f"add i32 {self.let(f'load i32, ptr {at}')}, 1")
        most = self.let(f"icmp ugt i32 {count}, {MOST_UPDATES}")
        self.put(f"store i32 {self.let(f'select i1 {most}, i32 {MOST_UPDATES}, i32 {count}')}, ptr {at}")

    def _blank(self) -> None:
        """The outputs of what is no row."""
        for field in self.plan.outputs:
            if isinstance(field, Field):
                self.intrinsics.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
                at = self._at(*self.plan.place(field))
                n_bytes = field.width * SIZES[field.dtype]
                self.put(f"call void @llvm.memset.p0.i64(ptr {at}, i8 0, i64 {n_bytes}, i1 false)")
