"""The function that runs a kernel's formula over one row: the row of a table, a block, or any run of elements."""

from __future__ import annotations

from ..build import is_number, kernel_inputs
from ..canonical import BLOCK, LANES
from ..expr import Extent, Node, toposort
from ..prims import LEAVES, REDUCTIONS
from .emit import TYPES, Emitter, constant, vector
from .guard import Marks, mark, once, remember, tests_of
from .memory import load, load_lanes, store
from .nodes import depths, dtype_of, is_shallow, level_of
from .variant import Variant, end_of_loop, inlining


def row_function(variant: Variant) -> tuple[str, set[str]]:
    """The LLVM text of the function, and the intrinsics it calls."""
    emitter = _Row(variant)
    emitter.run()
    head = f"define internal void @{variant.name}({', '.join(variant.parameters())}) {inlining(variant)} {{"
    return "\n".join([head, "entry:", *emitter.lines, "}"]), emitter.intrinsics


class _Row(Emitter):
    def __init__(self, variant: Variant) -> None:
        super().__init__(variant.kernel)
        self.variant = variant
        self.base = dict(zip(variant.buffers, (f"%{n}" for n in variant.pointer_names()), strict=True))
        self.block = "entry"
        for k, scalar in enumerate(variant.kernel.scalars):
            self.names[(id(scalar), 1)] = f"%s{k}"

    def run(self) -> None:
        order = [n for n in self.variant.order if not is_number(n)]
        depth = depths(order)
        for d in range(max(depth.values(), default=0) + 1):
            reductions = [n for n in order if depth[id(n)] == d and n.op in REDUCTIONS]
            if reductions:
                self._reduce(reductions)
            shallow = [n for n in order if depth[id(n)] == d and is_shallow(n)]
            self._load_once([n for n in shallow if n.op == "load"])
            self._index(shallow, {Extent.ROW: "%row", Extent.TENSOR: "0"})
            self.compute(n for n in shallow if n.op not in LEAVES)
        deep = [(root, b) for root, b in self.variant.stores if self._buffer_level(b) == Extent.ELEMENT]
        marks = self._elements(deep) if deep else {}
        flat = [(root, b) for root, b in self.variant.stores if self._buffer_level(b) != Extent.ELEMENT]
        for root, b in flat:
            self._store(root, b)
        marks = mark(self, self._watched(flat), marks)
        if marks:
            remember(self, marks, "%mark")
        self.put("ret void")

    def _store(self, root: Node, b: int, index: str = "") -> None:
        if b not in self.variant.dropped:
            store(self, root, self.base[b], index)

    def _watched(self, stores: list[tuple[Node, int]]) -> list[Node]:
        """The values among some stores that are tested."""
        return [root for root, b in stores if (root, b) in self.variant.watched]

    def _buffer_level(self, b: int) -> Extent:
        return self.kernel.buffers[b].extent

    def _load_once(self, loads: list[Node]) -> None:
        for node in loads:
            self.names[(id(node), 1)] = load(self, node, self.base[node.attrs["index"]])

    def _start(self, label: str) -> None:
        self.label(label)
        self.block = label

    def _index(self, nodes: list[Node], places: dict[Extent, str]) -> None:
        """Give the leaves that are the number of an element or row their names."""
        for node in nodes:
            if node.op == "index":
                self.names[(id(node), 1)] = places[level_of(node)]

    # ---- one value at a time: LLVM's loop vectorizer does the rest, since no two pointers alias

    def _elements(self, stores: list[tuple[Node, int]]) -> Marks:
        """The loop over elements; what it found of the values that are tested."""
        before = self.block
        watched = self._watched(stores)
        deep = [
            n
            for n in toposort([root for root, _ in stores], kernel_inputs)
            if not is_number(n) and not is_shallow(n)
        ]
        self.put("%some = icmp sgt i64 %n, 0")
        self.put("br i1 %some, label %elements, label %done")
        self._start("elements")
        self.put(f"%i = phi i64 [ 0, %{before} ], [ %next, %elements ]")
        marks = {test: self.fresh("mark") for test in tests_of(watched)}
        phis = {test: self.hole() for test in marks}
        for node in deep:
            if node.op == "load":
                self.names[(id(node), 1)] = load(self, node, self.base[node.attrs["index"]], "%i")
            elif node.op == "column":
                self.names[(id(node), 1)] = self.let(f"sitofp i64 %i to {TYPES[dtype_of(node)]}")
        if any(n.op == "index" for n in deep):
            self._index(deep, {Extent.ELEMENT: self.let("add i64 %first, %i")})
        self.compute(n for n in deep if n.op not in LEAVES)
        for root, b in stores:
            self._store(root, b, "%i")
        fresh = mark(self, watched, marks)
        for test, hole in phis.items():
            both = f"[ 0, %{before} ], [ {fresh[test]}, %elements ]"
            self.fill(hole, f"{marks[test]} = phi {test.type} {both}")
        self.put("%next = add nuw nsw i64 %i, 1")
        self.put("%more = icmp slt i64 %next, %n")
        end = once(self.variant.name) if watched else end_of_loop(self.variant)
        self.put(f"br i1 %more, label %elements, label %done{end}")
        self._start("done")
        return {
            test: self.let(f"phi {test.type} [ 0, %{before} ], [ {name}, %elements ]")
            for test, name in fresh.items()
        }

    # ---- the canonical sum: 64 lanes over blocks of 8192, blocks in float64

    def _reduce(self, reductions: list[Node]) -> None:
        tag = self.fresh("r")[1:]
        args = [n.inputs[0] for n in reductions]
        cone = [n for n in toposort(args, kernel_inputs) if not is_number(n) and not is_shallow(n)]
        before, dtypes = self.block, [dtype_of(n) for n in reductions]
        wide = [vector(TYPES[d], LANES) for d in dtypes]
        start = [constant(REDUCTIONS[n.op].identity, "float64") for n in reductions]
        blank = [self._identity(n) for n in reductions]
        totals = [self.fresh(f"{tag}.total") for _ in reductions]
        updated: list[str] = []
        for arg in args:
            if is_shallow(arg) or is_number(arg):
                self.node(arg, LANES)
        self.put(f"%{tag}.some = icmp sgt i64 %n, 0")
        self.put(f"br i1 %{tag}.some, label %{tag}.block, label %{tag}.end")
        self._start(f"{tag}.block")
        self.put(f"%{tag}.b = phi i64 [ 0, %{before} ], [ %{tag}.bn, %{tag}.fold ]")
        phis = [self.hole() for _ in totals]
        self.put(f"%{tag}.bn = add i64 %{tag}.b, {BLOCK}")
        self.put(f"%{tag}.short = icmp slt i64 %n, %{tag}.bn")
        self.put(f"%{tag}.e = select i1 %{tag}.short, i64 %n, i64 %{tag}.bn")
        self.put(f"%{tag}.len = sub i64 %{tag}.e, %{tag}.b")
        self.put(f"%{tag}.whole = and i64 %{tag}.len, {-LANES}")
        self.put(f"%{tag}.m = add i64 %{tag}.b, %{tag}.whole")
        self.put(f"%{tag}.any = icmp sgt i64 %{tag}.whole, 0")
        self.put(f"br i1 %{tag}.any, label %{tag}.lanes, label %{tag}.rest")
        inner = self._lanes(tag, reductions, args, cone, wide, blank)
        after = self._tail(tag, reductions, args, cone, wide, blank, inner)
        for k, node in enumerate(reductions):
            folded = self._fold(after[k], node)
            extended = folded if dtypes[k] == "float64" else self.let(f"fpext float {folded} to double")
            updated.append(self._combine(node, totals[k], extended, "double"))
            self.fill(
                phis[k], f"{totals[k]} = phi double [ {start[k]}, %{before} ], [ {updated[k]}, %{tag}.fold ]"
            )
        self.put(f"%{tag}.again = icmp slt i64 %{tag}.bn, %n")
        self.put(f"br i1 %{tag}.again, label %{tag}.block, label %{tag}.end")
        self._start(f"{tag}.end")
        for k, node in enumerate(reductions):
            total = self.let(f"phi double [ {start[k]}, %{before} ], [ {updated[k]}, %{tag}.fold ]")
            self.names[(id(node), 1)] = total
        for k, node in enumerate(reductions):
            if dtypes[k] != "float64":
                name = self.names[(id(node), 1)]
                self.names[(id(node), 1)] = self.let(f"fptrunc double {name} to float")

    def _lanes(
        self,
        tag: str,
        reductions: list[Node],
        args: list[Node],
        cone: list[Node],
        wide: list[str],
        blank: list[str],
    ) -> list[str]:
        """The loop over whole groups of 64: each lane adds its elements in order."""
        sums = [self.fresh(f"{tag}.acc") for _ in reductions]
        news: list[str] = []
        self._start(f"{tag}.lanes")
        self.put(f"%{tag}.j = phi i64 [ %{tag}.b, %{tag}.block ], [ %{tag}.jn, %{tag}.lanes ]")
        phis = [self.hole() for _ in sums]
        self._wide_cone(cone, f"%{tag}.j", None)
        for k, node in enumerate(reductions):
            news.append(self._combine(node, sums[k], self.node(args[k], LANES), wide[k]))
            self.fill(
                phis[k],
                f"{sums[k]} = phi {wide[k]} [ {blank[k]}, %{tag}.block ], [ {news[k]}, %{tag}.lanes ]",
            )
        self.put(f"%{tag}.jn = add i64 %{tag}.j, {LANES}")
        self.put(f"%{tag}.on = icmp slt i64 %{tag}.jn, %{tag}.m")
        self.put(f"br i1 %{tag}.on, label %{tag}.lanes, label %{tag}.rest")
        return news

    def _tail(
        self,
        tag: str,
        reductions: list[Node],
        args: list[Node],
        cone: list[Node],
        wide: list[str],
        blank: list[str],
        inner: list[str],
    ) -> list[str]:
        """The last, incomplete group: lanes without an element take the identity, which changes no bit."""
        self._start(f"{tag}.rest")
        sums = [
            self.let(f"phi {wide[k]} [ {blank[k]}, %{tag}.block ], [ {inner[k]}, %{tag}.lanes ]")
            for k in range(len(reductions))
        ]
        self.put(f"%{tag}.left = sub i64 %{tag}.e, %{tag}.m")
        self.put(f"%{tag}.tail = icmp sgt i64 %{tag}.left, 0")
        self.put(f"br i1 %{tag}.tail, label %{tag}.partial, label %{tag}.fold")
        self._start(f"{tag}.partial")
        count = self.let(f"trunc i64 %{tag}.left to i32")
        first = self.let(f"insertelement <{LANES} x i32> poison, i32 {count}, i32 0")
        counts = self.let(
            f"shufflevector <{LANES} x i32> {first}, <{LANES} x i32> poison, <{LANES} x i32> zeroinitializer"
        )
        iota = "<" + ", ".join(f"i32 {k}" for k in range(LANES)) + ">"
        mask = self.let(f"icmp ult <{LANES} x i32> {iota}, {counts}")
        self._wide_cone(cone, f"%{tag}.m", mask)
        masked = []
        for k, node in enumerate(reductions):
            value = self.node(args[k], LANES)
            kept = self.let(f"select <{LANES} x i1> {mask}, {wide[k]} {value}, {wide[k]} {blank[k]}")
            masked.append(self._combine(node, sums[k], kept, wide[k]))
        self.put(f"br label %{tag}.fold")
        self._start(f"{tag}.fold")
        return [
            self.let(f"phi {wide[k]} [ {sums[k]}, %{tag}.rest ], [ {masked[k]}, %{tag}.partial ]")
            for k in range(len(reductions))
        ]

    def _wide_cone(self, cone: list[Node], index: str, mask: str | None) -> None:
        """The element values of 64 neighbours, from `index` on."""
        for node in cone:
            self.names.pop((id(node), LANES), None)
        shallow = {id(x): x for n in cone for x in n.inputs if is_number(x) or is_shallow(x)}
        for x in shallow.values():
            self.names.pop((id(x), LANES), None)  # widened again here: the other loop's copy may not dominate
        for node in cone:
            if node.op == "load":
                base = self.base[node.attrs["index"]]
                self.names[(id(node), LANES)] = load_lanes(self, node, base, index, mask)
            elif node.op == "index":
                first = self.splat(self.let(f"add i64 %first, {index}"), "index", LANES)
                steps = "<" + ", ".join(f"i64 {k}" for k in range(LANES)) + ">"
                self.names[(id(node), LANES)] = self.let(f"add <{LANES} x i64> {first}, {steps}")
            elif node.op == "column":
                self.names[(id(node), LANES)] = self._columns(index, dtype_of(node))
        self.compute([n for n in cone if n.op not in LEAVES], LANES)

    def _columns(self, index: str, dtype: str) -> str:
        """The numbers of 64 neighbours in their row."""
        type_ = TYPES[dtype]
        first = self.splat(self.let(f"sitofp i64 {index} to {type_}"), dtype, LANES)
        steps = ", ".join(f"{type_} {constant(k, dtype)}" for k in range(LANES))
        return self.let(f"fadd {vector(type_, LANES)} {first}, <{steps}>")

    def _fold(self, lanes: str, node: Node) -> str:
        """lane[k] += lane[k + s] for s = 32, 16, 8, 4, 2, 1."""
        type_ = TYPES[dtype_of(node)]
        width = LANES
        while width > 1:
            half = width // 2
            wide, narrow = vector(type_, width), vector(type_, half) if half > 1 else f"<1 x {type_}>"
            low = ", ".join(f"i32 {k}" for k in range(half))
            high = ", ".join(f"i32 {k + half}" for k in range(half))
            a = self.let(f"shufflevector {wide} {lanes}, {wide} poison, <{half} x i32> <{low}>")
            b = self.let(f"shufflevector {wide} {lanes}, {wide} poison, <{half} x i32> <{high}>")
            lanes = self._combine(node, a, b, narrow)
            width = half
        return self.let(f"extractelement <1 x {type_}> {lanes}, i32 0")

    def _combine(self, node: Node, a: str, b: str, type_: str) -> str:
        return combine(self, REDUCTIONS[node.op].combine, a, b, type_)

    def _identity(self, node: Node) -> str:
        type_ = TYPES[dtype_of(node)]
        value = constant(REDUCTIONS[node.op].identity, dtype_of(node))
        return "<" + ", ".join([f"{type_} {value}"] * LANES) + ">"


def combine(emitter: Emitter, how: str, a: str, b: str, type_: str) -> str:
    """Two partial results into one; `prims.COMBINE` is the definition."""
    if how == "add":
        return emitter.let(f"fadd {type_} {a}, {b}")
    wins = emitter.let(f"fcmp {'ogt' if how == 'max' else 'olt'} {type_} {a}, {b}")
    nan = emitter.let(f"fcmp uno {type_} {a}, {a}")
    lanes = type_[1:].split(" ")[0] if type_.startswith("<") else ""
    bools = f"<{lanes} x i1>" if lanes else "i1"
    first = emitter.let(f"or {bools} {wins}, {nan}")
    return emitter.let(f"select {bools} {first}, {type_} {a}, {type_} {b}")
