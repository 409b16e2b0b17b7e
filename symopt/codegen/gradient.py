"""The loops over a row_sparse gradient: its rows, segment by segment, or every row with the gradient beside it."""

from __future__ import annotations

from ..dtypes import COMPUTE, component
from ..expr import Extent
from ..passes.ir import LISTED
from .driver import ORDER, ROWS, SEGMENTS, STARTS, Driver
from .emit import TYPES
from .nodes import SIZES

PREFETCH_AHEAD = 6
LINES_AT_ONCE = 4


class SparseDriver(Driver):
    """Chunks of segments (LISTED kernels) or of rows (STANDARD kernels)."""

    def body(self) -> None:
        if self.kernel.mode == LISTED:
            self._listed()
        else:
            self._standard()

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
            write = int(buffer.write and not (self.guard and b in self.guard.dropped))
            if buffer.extent == Extent.ROW:
                self.put(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {write}, i32 3, i32 1)")
                continue
            tag = f"pf{b}"
            size = self.let(f"mul i64 %cols, {SIZES[buffer.dtype]}")
            at_once = self._prefetch_first_lines(size, pointer, write) if self.guard else 0
            long = self.let(f"icmp sgt i64 {size}, 1024")
            cut = self.let(f"select i1 {long}, i64 1024, i64 {size}")
            lines = self.let(f"lshr i64 {self.let(f'add i64 {cut}, 63')}, 6")
            line = self._loop(tag, str(at_once), lines)
            offset = self.let(f"shl i64 {line}, 6")
            where = self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")
            self.put(f"call void @llvm.prefetch.p0(ptr {where}, i32 {write}, i32 3, i32 1)")
            self._end(tag, lines)

    def _prefetch_first_lines(self, size: str, pointer: str, write: int) -> int:
        """The first lines of a row, without a loop: its instructions would take the place of those of rows to come, of
        which the tests at the end of a row leave fewer in sight. How many lines that is."""
        last = self.let(f"sub i64 {size}, 1")
        for line in range(LINES_AT_ONCE):
            within = self.let(f"icmp slt i64 {64 * line}, {last}")
            offset = self.let(f"select i1 {within}, i64 {64 * line}, i64 {last}")
            where = self.let(f"getelementptr i8, ptr {pointer}, i64 {offset}")
            self.put(f"call void @llvm.prefetch.p0(ptr {where}, i32 {write}, i32 3, i32 1)")
        return LINES_AT_ONCE

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
        """Into scratch: the rows of a segment added in order of occurrence, in the dtype of the computation. A complex
        number is added as two real ones."""
        part = component(dtype)
        compute = COMPUTE[part]
        wide = TYPES[compute]
        count = "%cols" if part == dtype else self.let("shl i64 %cols, 1")

        def widened(pointer: str, i: str) -> str:
            value = self.let(f"load {TYPES[part]}, ptr {self.pointer(pointer, i, part)}, align {SIZES[part]}")
            return value if part == compute else self.convert(value, part, compute, 1)

        i = self._loop("i", "0", count)
        self.put(f"store {wide} {widened(first, i)}, ptr {self.pointer('%scratch', i, compute)}")
        self._end("i", count)
        second = self.let(f"add i64 {begin}, 1")
        k = self._loop("k", second, end)
        position = self.let(f"load i64, ptr {self.let(f'getelementptr i64, ptr %order, i64 {k}')}")
        row = self.pointer(data, self.let(f"mul i64 {position}, %cols"), dtype)
        i = self._loop("i2", "0", count)
        target = self.pointer("%scratch", i, compute)
        total = self.let(f"fadd {wide} {self.let(f'load {wide}, ptr {target}')}, {widened(row, i)}")
        self.put(f"store {wide} {total}, ptr {target}")
        self._end("i2", count)
        self._end("k", end)

    def _standard(self) -> None:
        """Every row in order; `s` walks the segments beside them, found by bisection for the first row."""
        self._sparse_words()
        low = self._bisect()
        self.put("br label %walk")
        self.label("walk")
        self.put("%row = phi i64 [ %start, %found ], [ %row.next, %advance ]")
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
