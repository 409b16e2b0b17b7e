"""Kernels over rows: a team of threads takes a row, sums over it in the canonical order, then goes over its elements.

A row is a row of a table, a row that a sparse gradient lists, or a block of a tensor that is reduced as a whole. A team
is as many threads as hold the 64 lanes of the sum, fewer for short rows, and the whole block for rows of several
blocks, of which then each part of the team sums one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...canonical import LANES
from ...dtypes import COMPLEX, component
from ...expr import Extent, Node
from ...passes.ir import LISTED, REDUCE, Kernel
from ...prims import REDUCTIONS
from ..guard import Guard
from ..nodes import dtype_of
from .emit import TYPES, WIDEN, Scope, literal
from .layout import FOLD_FIELDS, struct
from .loops import FOLDS, Run, fold_loop, indented, kept, store_loop, watch
from .piece import summed_dtype
from .template import Stores, Template, shallow_at

FINISH = """extern "C" __global__ void __launch_bounds__(THREADS)
finish(const Fold* folds, int n_tensors, const u64* gate)"""
GUARDED_FINISH = FINISH.replace("const u64* gate)", "const u64* gate, u64* found)")


class Rows(Template):
    """Rows of a table or blocks of a reduction."""

    def chunk(self) -> list[str]:
        stores = self.changing(self.kernel.stores)
        order, _ = self.levels(stores)
        before = self.of_tensor(order)
        return [*before, *self.teams(), *self.each_row(self.row(stores, ""))]

    def teams(self) -> list[str]:
        """Who this thread is: lane `lane` of the `threads` that share a row; t of the `team` that share 64 lanes."""
        team = LANES // self.width
        return [
            "const int threads = 1 << d.shift, lane = threadIdx.x & (threads - 1);",
            "const bool wide = threads == THREADS;",
            f"const int team = wide ? {team} : threads;",
            "const int t = lane & (team - 1), part = lane / team, parts = threads / team;",
            "const u32 mask = team_mask(team);",
        ]

    def each_row(self, body: list[str]) -> list[str]:
        """The loop over the rows of a chunk that are this team's."""
        return [
            "for (i64 r = threadIdx.x >> d.shift; r < d.n; r += THREADS >> d.shift) {",
            *indented([*self.position(), *body]),
            "}",
        ]

    def position(self) -> list[str]:
        """Which row `r` of the chunk is: `row` in the tensor, `cols` elements, `at_element` in front of them."""
        if self.kernel.mode == REDUCE:
            return [
                "const i64 row = d.first + r, at_element = row * BLOCK;",
                "const i64 cols = d.cols - at_element < BLOCK ? d.cols - at_element : BLOCK;",
            ]
        return ["const i64 row = d.first + r, cols = d.cols, at_element = row * cols;"]

    def offsets(self) -> dict[Extent, str]:
        """Where row `r` lies in buffers, by their extent."""
        if self.kernel.mode == REDUCE:
            return {Extent.ELEMENT: "r * BLOCK", Extent.ROW: "r", Extent.TENSOR: "r"}
        return {Extent.ELEMENT: "r * cols", Extent.ROW: "r"}

    # ---- one row

    def row(self, stores: Stores, tag: str) -> list[str]:
        """Statements that run the formula on one row. `tag` tells the functions of its variants apart."""
        order, depth = self.levels(stores)
        deep, flat = self.deep(stores), self.flat(stores)
        offsets = self.offsets()
        lines = self.pointers(order, stores, Extent.ELEMENT, offsets)
        scope = Scope(self.scope.names, f"r{tag}")
        for d in range(max(depth.values(), default=0) + 1):
            reductions = [n for n in order if depth[id(n)] == d and n.op in REDUCTIONS]
            if reductions:
                lines += [*_taken(scope), *self._reduce(reductions, scope, f"{tag}{d}")]
            self.shallow(scope, shallow_at(order, depth, d), "row")
        lines += _taken(scope)
        if deep:
            piece = self.piece(f"element{tag}", [root for root, _ in deep], scope)
            run = Run("cols", f"threads * {self.width}", "at_element")
            lines += [
                f"i64 j = (i64)lane * {self.width};",
                *store_loop(piece, [b for _, b in deep], run, self.guard),
            ]
        return lines + self._flat_stores(scope, flat, order, offsets)

    def _flat_stores(
        self, scope: Scope, flat: Stores, order: Sequence[Node], offsets: dict[Extent, str]
    ) -> list[str]:
        if not flat:
            return []
        read = {n.attrs["index"] for n in order if n.op == "load"}
        sync = ["team_sync(wide, mask);"] if any(b in read for _, b in flat) else []
        pointers = self.pointers((), flat, Extent.TENSOR, offsets)
        return [*sync, "if (lane == 0) {", *indented([*pointers, *self.store_flat(scope, flat, "row")]), "}"]

    def _reduce(self, reductions: Sequence[Node], scope: Scope, tag: str) -> list[str]:
        """The canonical folds of what is in a row, several in one pass over it."""
        names = [f"{tag}_{k}" for k in range(len(reductions))]
        piece = self.piece(f"term{tag}", [n.inputs[0] for n in reductions], scope)
        start = [literal(REDUCTIONS[n.op].identity, "float64") for n in reductions]
        lines = [f"double total{x} = {s};" for x, s in zip(names, start, strict=True)]
        inner = [
            "const i64 start = round + (i64)part * BLOCK, stop = cols - start < BLOCK ? cols : start + BLOCK;"
        ]
        for x, node in zip(names, reductions, strict=True):
            type_, zero = TYPES[dtype_of(node)], literal(REDUCTIONS[node.op].identity, dtype_of(node))
            inner += [f"{type_} lane{x}[{self.width}];", "#pragma unroll"]
            inner.append(f"for (int k = 0; k < {self.width}; k++) lane{x}[k] = {zero};")
        run = Run("stop", f"team * {self.width}", "at_element")
        inner.append(f"i64 j = start + t * {self.width};")
        inner += fold_loop(piece, reductions, [f"lane{x}" for x in names], run)
        for x, node in zip(names, reductions, strict=True):
            inner += self._together(x, node)
        lines += ["for (i64 round = 0; round < cols; round += (i64)parts * BLOCK) {", *indented(inner), "}"]
        for x, node in zip(names, reductions, strict=True):
            lines.append(f"const {TYPES[dtype_of(node)]} sum{x} = ({TYPES[dtype_of(node)]})total{x};")
            scope.names[id(node)] = f"sum{x}"
        return lines

    def _together(self, x: str, node: Node) -> list[str]:
        """The lanes of a block of elements folded, and such blocks added in order."""
        fold, type_ = FOLDS[REDUCTIONS[node.op].combine], TYPES[dtype_of(node)]
        folded = f"const {type_} block{x} = fold_lanes<{fold}>(lane{x}, t, team, mask);"
        if self.kernel.mode == REDUCE:
            return [folded, f"total{x} = {fold}::of(total{x}, (double)block{x});"]
        self.shared.append(f"__shared__ {type_} parts{x}[THREADS / {LANES // self.width}];")
        return [
            folded,
            "if (wide) {",
            f"  if (t == 0) parts{x}[part] = block{x};",
            "  __syncthreads();",
            "  for (int q = 0; q < parts && round + (i64)q * BLOCK < cols; q++)",
            f"    total{x} = {fold}::of(total{x}, (double)parts{x}[q]);",
            "  __syncthreads();",
            "} else {",
            f"  total{x} = {fold}::of(total{x}, (double)block{x});",
            "}",
        ]


class GradientRows(Rows):
    """Rows of a row_sparse gradient (LISTED), or every row with the gradient beside it (STANDARD)."""

    def functions(self) -> list[str]:
        return [self._gradient(), *super().functions()]

    def chunk(self) -> list[str]:
        touched, absent = self.changing(self.kernel.widened), self.changing(self.kernel.absent)
        orders = [n for stores in (touched, absent) for n in self.levels(stores)[0]]
        before = self.of_tensor(list({id(n): n for n in orders}.values()))
        lines = [
            *before,
            *self.teams(),
            "const i64* const rows = (const i64*)d.rows;",
            "const i64* const order = (const i64*)d.order;",
        ]
        body = self.row(touched, "")
        if self.kernel.mode == LISTED:
            lines += [
                "const int teams = THREADS >> d.shift, team_number = threadIdx.x >> d.shift;",
                "i64 ahead = team_number < d.n ? load_one(rows + d.first + team_number) : 0;",
            ]
        else:
            body = [
                "if (at >= 0) {",
                *indented(body),
                "} else {",
                *indented(self.row(absent, "_absent")),
                "}",
            ]
        return [*lines, *self.each_row(body)]

    def position(self) -> list[str]:
        """An entry of the gradient is skipped if an earlier one has its row: that one takes both."""
        if self.kernel.mode == LISTED:
            first = [
                "const i64 at = d.first + r, row = ahead, cols = d.cols, at_element = row * cols;",
                "if (r + teams < d.n) ahead = load_one(rows + at + teams);  // known by the time it is needed",
                "if (order && at > 0 && load_one(rows + at - 1) == row) continue;",
            ]
        else:
            first = [*super().position(), "const i64 at = load_one((const int*)d.slots + row);"]
        return [
            *first,
            "i64 end = at + 1;",
            "if (order && at >= 0)",
            "  while (end < d.listed && load_one(rows + end) == row) end++;",
        ]

    def offsets(self) -> dict[Extent, str]:
        if self.kernel.mode == LISTED:
            return {Extent.ELEMENT: "at_element", Extent.ROW: "row"}
        return super().offsets()

    def _gradient(self) -> str:
        """Neighbours of a row of the gradient; rows of one index are added in order of occurrence, not rounded."""
        dtype, wide, n = self.kernel.buffers[self.kernel.sparse].dtype, summed_dtype(self.kernel), self.width
        source, target = TYPES[dtype], TYPES[wide]
        terms = ["x[k].x[0]", "x[k].x[1]"] if dtype in COMPLEX else ["x[k]"]
        wider = {term: WIDEN[component(dtype)].format(f"v.{term}") for term in terms}
        read = f"whole ? load<{n}>(p) : load_some<{n}>(p, n)"
        each = [f"#pragma unroll\n  for (int k = 0; k < {n}; k++) {{", "  }"]
        return "\n".join(
            [
                f"INLINE vec<{target}, {n}> gradient(const {source}* data, const i64* order, i64 at, i64 end,",
                "                                i64 cols, i64 j, int n, bool whole) {",
                f"  const {source}* p = data + (order ? load_one(order + at) : at) * cols + j;",
                f"  vec<{source}, {n}> v = {read};",
                f"  vec<{target}, {n}> total;",
                each[0],
                *(f"    total.{term} = {wide};" for term, wide in wider.items()),
                each[1],
                "#pragma unroll 1",
                "  for (i64 i = at + 1; i < end; i++) {",
                "    p = data + load_one(order + i) * cols + j;",
                f"    v = {read};",
                each[0],
                *(f"    total.{term} = total.{term} + {wide};" for term, wide in wider.items()),
                each[1],
                "  }",
                "  return total;",
                "}",
            ]
        )


def _taken(scope: Scope) -> list[str]:
    """The statements of a scope so far, which then starts afresh."""
    lines, scope.lines = scope.lines, []
    return lines


def finish(kernel: Kernel, sums: Stores, guard: Guard | None = None) -> str:
    """The kernel `finish`: partial results of each tensor's blocks added up in order, rounded once."""
    dtypes = [kernel.buffers[b].dtype for _, b in sums]
    lines = [f"__shared__ {TYPES[t]} shared{k}[THREADS];" for k, t in enumerate(dtypes)]
    lines += ["if (gate && *gate != OPEN) return;"]
    lines += ["for (int t = blockIdx.x; t < n_tensors; t += gridDim.x) {"]
    if guard:
        lines.append(f"  u64* const slots = found + t * {len(guard.watched)};")
    for k, ((node, b), dtype) in enumerate(zip(sums, dtypes, strict=True)):
        fold = REDUCTIONS[node.op]
        start, type_ = literal(fold.identity, "float64"), TYPES[dtype]
        lines += [
            f"  const Fold f{k} = folds[t * {len(sums)} + {k}];",
            f"  const double total{k} = fold_in_order<{FOLDS[fold.combine]}>"
            f"((const {type_}*)f{k}.parts, f{k}.n, {start}, shared{k});",
        ]
        if kept(guard, b):
            lines.append(f"  if (threadIdx.x == 0) store_one(({type_}*)f{k}.result, ({type_})total{k});")
        tested = watch(kernel, guard, b, f"watch_one<{{}}>(({type_})total{k}, 0")
        lines += [f"  if (threadIdx.x == 0) {line}" for line in tested]
    head = f"{GUARDED_FINISH if guard else FINISH} {{"
    return "\n\n".join([struct("Fold", FOLD_FIELDS), "\n".join([head, *indented(lines), "  }", "}"])])
