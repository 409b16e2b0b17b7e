"""Sums over equal ids, as LLVM IR."""

from __future__ import annotations

from ..codegen.functions import Function, Value
from ..dtypes import COMPUTE

_TYPES = {"float16": "half", "bfloat16": "i16", "float32": "float", "float64": "double"}
_AHEAD = 8  # rows between the one that is added to and the one that is fetched


def sum_function(dtype: str) -> Function:
    """The first row of each number is copied, the others are added; `seen` says of which number there was one."""
    f = Function(
        f"sum_{dtype}", inverse="i64[]", n="i64", values=f"{_TYPES[dtype]}[]", stride="i64", width="i64",
        sums=f"{_TYPES[COMPUTE[dtype]]}[]", seen="i8[]",
    )  # fmt: skip
    inverse, n, values, stride, width, sums, seen = f.parameters
    with f.loop(n) as i:
        ahead = i + _AHEAD
        later = f.select(ahead < n, ahead, n - 1)
        f.prefetch(sums.place(inverse[later] * width), write=True)
        group = inverse[i]
        total, row = sums.place(group * width), values.place(i * stride)
        with f.when(seen[group].equals(0)):
            seen[group] = 1
            with f.loop(width) as j:
                total[j] = _widened(row[j])
        with f.otherwise(), f.loop(width) as j:
            total[j] = total[j] + _widened(row[j])
    return f


def _widened(x: Value) -> Value:
    """A stored number in the dtype that is added in."""
    if x.type == "i16":  # bfloat16 is the upper half of a float32
        return (x.to("i32") << 16).bits_as("float")
    return x.to("float") if x.type == "half" else x
