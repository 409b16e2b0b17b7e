"""Primitives to LLVM instructions, one value at a time or 64 lanes at once."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from ..expr import Node
from ..hostmath import constant_value
from ..passes.ir import Kernel
from ..prims import CAST, PAIR, PRIMS
from .nodes import SIZES, dtype_of, is_literal, narrow_bits, place
from .random import MACROS

TYPES = {
    "index": "i64",
    "float16": "half",
    "bfloat16": "i16",
    "float32": "float",
    "float64": "double",
    "complex64": "{ float, float }",
    "complex128": "{ double, double }",
    "bool": "i1",
}
SUFFIX = {"float32": "f32", "float64": "f64"}


def constant(value: float, dtype: str) -> str:
    """A float constant as LLVM reads it without rounding: the bits of the double."""
    if dtype == "float32":
        value = struct.unpack("f", struct.pack("f", value))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def vector(type_: str, lanes: int) -> str:
    return type_ if lanes == 1 else f"<{lanes} x {type_}>"


class Emitter:
    """Lines of one function, and the LLVM name of every primitive it has computed so far."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.names: dict[tuple[int, int], str] = {}  # (id of node, lanes)
        self.intrinsics: set[str] = set()
        self._count = 0

    def fresh(self, hint: str = "v") -> str:
        self._count += 1
        return f"%{hint}{self._count}"

    def put(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")

    def hole(self) -> int:
        """A line to be filled in later: a phi whose second value is not known yet."""
        self.lines.append("")
        return len(self.lines) - 1

    def fill(self, hole: int, line: str) -> None:
        self.lines[hole] = f"  {line}"

    def let(self, text: str, hint: str = "v") -> str:
        """Emit `text` as an instruction; the name of its result."""
        name = self.fresh(hint)
        self.put(f"{name} = {text}")
        return name

    def node(self, node: Node, lanes: int = 1) -> str:
        """The name of an already emitted node's value, widened to all lanes if it has one value."""
        name = self.names.get((id(node), lanes))
        if name is None and (id(node), 1) not in self.names:
            self.names[(id(node), 1)] = _literal(node)
            return self.node(node, lanes)
        if name is None:
            name = self.splat(self.names[(id(node), 1)], dtype_of(node), lanes)
            self.names[(id(node), lanes)] = name
        return name

    def splat(self, name: str, dtype: str, lanes: int) -> str:
        type_, wide = TYPES[dtype], vector(TYPES[dtype], lanes)
        first = self.let(f"insertelement {wide} poison, {type_} {name}, i32 0", "one")
        return self.let(
            f"shufflevector {wide} {first}, {wide} poison, <{lanes} x i32> zeroinitializer", "all"
        )

    def compute(self, nodes: Iterable[Node], lanes: int = 1) -> None:
        """Emit primitives, inputs first; loads must have been emitted already. Pairs are stored part by part."""
        for node in nodes:
            if (id(node), lanes) in self.names or is_literal(node) or node.op == PAIR:
                continue
            operands = [self.node(x, lanes) for x in node.inputs]
            where = f"  ; {place(node)}" if node.where else ""
            self.names[(id(node), lanes)] = self._prim(node, operands, lanes, where)

    def _prim(self, node: Node, operands: list[str], lanes: int, where: str) -> str:
        if node.op == CAST:
            return self.convert(operands[0], dtype_of(node.inputs[0]), dtype_of(node), lanes)
        if node.op in MACROS:
            return MACROS[node.op](self, node, operands, lanes)
        prim = PRIMS[node.op]
        dtype = dtype_of(node.inputs[-1])
        suffix = SUFFIX.get(dtype, "")
        suffix = suffix if lanes == 1 else f"v{lanes}{suffix}"
        text = prim.llvm.format(*operands, t=vector(TYPES[dtype], lanes), b=vector("i1", lanes), s=suffix)
        if text.startswith("call"):
            arguments = ", ".join([vector(TYPES[dtype], lanes)] * prim.arity)
            function = text[text.index("@") : text.index("(")]
            self.intrinsics.add(f"declare {vector(TYPES[dtype], lanes)} {function}({arguments})")
        return self.let(text + where)

    def convert(self, name: str, source: str, target: str, lanes: int) -> str:
        """A value in another dtype, rounded to nearest even."""
        a, b = vector(TYPES[source], lanes), vector(TYPES[target], lanes)
        if source == "bfloat16":
            wide = self.let(f"zext {a} {name} to {vector('i32', lanes)}")
            high = self.let(f"shl {vector('i32', lanes)} {wide}, {self._int(16, lanes)}")
            name = self.let(f"bitcast {vector('i32', lanes)} {high} to {vector('float', lanes)}")
            return name if target == "float32" else self.convert(name, "float32", target, lanes)
        if target == "bfloat16":
            return self._to_bfloat16(name, lanes)
        instruction = "fpext" if SIZES[target] > SIZES[source] else "fptrunc"
        return self.let(f"{instruction} {a} {name} to {b}")

    def _to_bfloat16(self, x: str, lanes: int) -> str:
        """Round to nearest even in integers: a fptrunc to bfloat would call a function most systems lack."""
        f, i = vector("float", lanes), vector("i32", lanes)
        bits = self.let(f"bitcast {f} {x} to {i}")
        high = self.let(f"lshr {i} {bits}, {self._int(16, lanes)}")
        odd = self.let(f"and {i} {high}, {self._int(1, lanes)}")
        half = self.let(f"add {i} {odd}, {self._int(0x7FFF, lanes)}")
        rounded = self.let(f"lshr {i} {self.let(f'add {i} {bits}, {half}')}, {self._int(16, lanes)}")
        quiet = self.let(f"or {i} {high}, {self._int(0x40, lanes)}")
        is_nan = self.let(f"fcmp uno {f} {x}, {x}")
        chosen = self.let(f"select {vector('i1', lanes)} {is_nan}, {i} {quiet}, {i} {rounded}")
        return self.let(f"trunc {i} {chosen} to {vector('i16', lanes)}")

    def _int(self, value: int, lanes: int) -> str:
        return str(value) if lanes == 1 else "<" + ", ".join([f"i32 {value}"] * lanes) + ">"

    def pointer(self, base: str, index: str, dtype: str) -> str:
        return self.let(f"getelementptr {TYPES[dtype]}, ptr {base}, i64 {index}", "p")


def _literal(node: Node) -> str:
    """A number written in the formula, rounded to its dtype, as LLVM reads it."""
    value = constant_value(node)
    assert value is not None, f"{node!r} was not computed"
    dtype = dtype_of(node)
    if dtype in ("float16", "bfloat16"):
        bits = narrow_bits(value, dtype)
        return f"0xH{bits:04X}" if dtype == "float16" else str(bits)
    return constant(value, dtype)
