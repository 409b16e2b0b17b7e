"""Functions written in LLVM IR: each construct is run, beside what Python makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symopt.backends.jit import compile_written, optimised
from symopt.codegen.functions import Function, Value, module

M = (1 << 64) - 1
NUMBERS = [0, 1, 2, 7, 63, -1, -2, 2**63 - 1, -(2**63), 0x123456789ABCDEF]
Array = np.ndarray[Any, Any]


def run(f: Function, *given: Any) -> None:
    compile_written(f)[f.name](*(x.ctypes.data if isinstance(x, np.ndarray) else x for x in given))


def signed(x: int) -> int:
    return (x & M) - (1 << 64) if x & 1 << 63 else x & M


BINARY: dict[str, tuple[Callable[[Any, Any], Any], Callable[[int, int], int]]] = {
    "add": (lambda a, b: a + b, lambda a, b: a + b),
    "sub": (lambda a, b: a - b, lambda a, b: a - b),
    "mul": (lambda a, b: a * b, lambda a, b: a * b),
    "and": (lambda a, b: a & b, lambda a, b: a & b),
    "or": (lambda a, b: a | b, lambda a, b: a | b),
    "xor": (lambda a, b: a ^ b, lambda a, b: a ^ b),
    "shl": (lambda a, b: a << (b & 63), lambda a, b: a << (b & 63)),
    "shr": (lambda a, b: a >> (b & 63), lambda a, b: (a & M) >> (b & 63)),
    "lt": (lambda a, b: (a < b).to("i64"), lambda a, b: a < b),
    "gt": (lambda a, b: (a > b).to("i64"), lambda a, b: a > b),
    "ge": (lambda a, b: (a >= b).to("i64"), lambda a, b: a >= b),
    "eq": (lambda a, b: a.equals(b).to("i64"), lambda a, b: a == b),
    "ne": (lambda a, b: a.differs(b).to("i64"), lambda a, b: a != b),
    "choice": (lambda a, b: a.function.select(a < b, a, b), min),
    "constants": (lambda a, b: (a + 0xBF58476D1CE4E5B9) ^ -3, lambda a, b: (a + 0xBF58476D1CE4E5B9) ^ -3),
    "high": (lambda a, b: a.function.high_product(a, b), lambda a, b: (a & M) * (b & M) >> 64),
    "low bits": (lambda a, b: a.to("i8").to("i64"), lambda a, b: a & 255),
}


@pytest.mark.parametrize("name", BINARY)
def test_arithmetic(name: str) -> None:
    written, meant = BINARY[name]
    f = Function("each", a="i64[]", b="i64[]", n="i64", out="i64[]")
    a, b, n, out = f.parameters
    with f.loop(n) as i:
        out[i] = written(a[i], b[i])
    left, right = (np.array(x.ravel(), np.int64) for x in np.meshgrid(NUMBERS, NUMBERS))
    found = np.empty_like(left)
    run(f, left, right, len(left), found)
    assert found.tolist() == [signed(int(meant(x, y))) for x, y in zip(left.tolist(), right.tolist())]


@pytest.mark.parametrize(
    "source, target", [("half", "float"), ("float", "double"), ("double", "float"), ("float", "half")]
)
def test_floats_change_width(source: str, target: str) -> None:
    dtypes = {"half": np.float16, "float": np.float32, "double": np.float64}
    given = np.array([0.0, -0.0, 1.5, 1 / 3, 1e-3, -2.25], dtypes[source])
    found = np.empty(len(given), dtypes[target])
    f = Function("narrow", x=f"{source}[]", n="i64", out=f"{target}[]")
    x, n, out = f.parameters
    with f.loop(n) as i:
        out[i] = (x[i] * x[i] - x[i] + x[i]).to(target)
    run(f, given, len(given), found)
    expected = (given * given - given + given).astype(dtypes[target])
    assert found.tobytes() == expected.tobytes()


def test_bits_of_vectors() -> None:
    """Which of eight numbers are equal to one."""
    f = Function("which", x="i64[]", wanted="i64", out="i64[]")
    x, wanted, out = f.parameters
    out[0] = f.load("<8 x i64>", x).equals(f.splat(wanted, 8)).bits_as("i8").to("i64")
    out[1] = f.intrinsic("llvm.cttz.i64", "i64", out[0], "i1 false")
    numbers, found = np.array([3, 5, 3, 0, 0, 3, 1, 3]), np.zeros(2, np.int64)
    run(f, numbers, 3, found)
    assert found.tolist() == [0b10100101, 0]
    run(f, numbers, 9, found)
    assert found.tolist() == [0, 64]


def test_vectors_of_floats() -> None:
    """A variable that is a vector, and arithmetic on it."""
    f = Function("vectors", x="float[]", y="float[]", out="float[]")
    x, y, out = f.parameters
    total = f.variable(f.load("<4 x float>", x), "<4 x float>")
    total.value = total.value * f.load("<4 x float>", y) - f.splat(x[0], 4)
    f.store(total.value / f.load("<4 x float>", y), out)
    a, b = np.array([1, 2, -3, 0.1], np.float32), np.array([3, -7, 0.3, 1e-3], np.float32)
    found = np.zeros(4, np.float32)
    run(f, a, b, found)
    assert found.tobytes() == ((a * b - a[0]) / b).tobytes()


def test_functions_that_share_work_out() -> None:
    """What is taken from a counter, an array whose address is a number, and a call."""
    square = Function("square", numbers="i64[]", at="i64")
    numbers, at = square.parameters
    numbers[at] = numbers[at] * numbers[at]
    f = Function("work", job="i64[]")
    job = f.parameters[0]
    with f.forever():
        k = f.take(job)
        with f.when(k >= job[1]):
            f.leave()
        f.call(square, f.pointer(job[2], "i64"), k)
    values = np.arange(10)
    given = np.array([2, 7, values.ctypes.data])
    compile_written(square, f)["work"](given.ctypes.data)
    assert values.tolist() == [0, 1, 4, 9, 16, 25, 36, 7, 8, 9]
    assert given[0] == 8, "the last one was taken, and there was nothing left"


def collatz(f: Function, start: Value, steps: Value) -> None:
    """Loops in loops, a condition with another branch, and an end in the middle of a loop."""
    x, count = f.variable(start), f.variable(0)
    with f.forever():
        with f.when(x.value.equals(1)):
            f.leave()
        with f.when((x.value & 1).equals(0)):
            x.value = x.value >> 1
        with f.otherwise():
            x.value = x.value * 3 + 1
            with f.when(x.value > 10_000):
                f.leave()
        count.value += 1
    steps[0] = count.value


def collatz_in_python(x: int) -> int:
    count = 0
    while x != 1:
        if x % 2 == 0:
            x //= 2
        else:
            x = x * 3 + 1
            if x > 10_000:
                break
        count += 1
    return count


def test_control() -> None:
    f = Function("collatz", n="i64", out="i64[]")
    n, out = f.parameters
    with f.loop(n, start=1) as i:
        collatz(f, i, out.place(i))
        with f.when(i >= 40):
            f.leave()
    found = np.full(60, -1)
    run(f, 60, found)
    assert found.tolist() == [-1, *map(collatz_in_python, range(1, 41)), *[-1] * 19]


@pytest.mark.parametrize("start, stop, step", [(0, 5, 1), (3, 3, 1), (4, 2, 1), (-3, 4, 3), (2, 9, 4)])
def test_loops(start: int, stop: int, step: int) -> None:
    f = Function("count", start="i64", stop="i64", out="i64[]")
    first, last, out = f.parameters
    k = f.variable(0)
    with f.loop(last, start=first, step=step) as i:
        out[k.value] = i
        k.value += 1
    found = np.full(9, 99)
    run(f, start, stop, found)
    expected = list(range(start, stop, step))
    assert found.tolist() == expected + [99] * (9 - len(expected))


def test_places_in_bytes() -> None:
    """One array as another's elements."""
    f = Function("second_half", x="i64[]")
    (x,) = f.parameters
    x.bytes_on(4, "i32")[0] = f.value(7, "i32")
    found = np.array([1])
    run(f, found)
    assert found.view(np.int32).tolist() == [1, 7]


def squares(name: str) -> Function:
    f = Function(name, x="i64[]", n="i64")
    x, n = f.parameters
    with f.loop(n) as i:
        f.prefetch(x.place(i + 8))
        total = f.variable(x[i])
        total.value += total.value * x[i]
        x[i] = total.value
    return f


def test_variables_become_registers() -> None:
    text = module(squares("a"), squares("b"))
    assert text == module(squares("a"), squares("b"))
    assert text.count("declare void @llvm.prefetch") == 1
    assert "alloca" in text and "alloca" not in optimised(text)


def test_otherwise_needs_a_when() -> None:
    f = Function("f", x="i64")
    with f.when(f.parameters[0] > 0):
        pass
    f.variable(0)
    with pytest.raises(AssertionError, match="must follow"), f.otherwise():
        pass
