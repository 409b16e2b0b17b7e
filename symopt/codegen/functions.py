"""Functions in LLVM IR that are no kernels, written as one would write the algorithm.

Arithmetic on a `Value` writes an instruction, `array[i]` a load, `array[i] = x` a store; loops and conditions are
`with` blocks. What changes is a `Variable`: memory on the stack, which LLVM turns into registers.

>>> f = Function("total", numbers="i64[]", n="i64", result="i64[]")
>>> numbers, n, result = f.parameters
>>> total = f.variable(0)
>>> with f.loop(n) as i:
...     with f.when(numbers[i] > 0):
...         total.value += numbers[i]
>>> result[0] = total.value
>>> text = module(f)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .values import FLOATS, Operand, Value, Variable, lane

__all__ = ["Function", "Value", "Variable", "module"]


def module(*functions: Function) -> str:
    """The text of a module of these functions. What several do alike, Python functions write into each."""
    declared = sorted({line for f in functions for line in f.declared})
    return "\n".join([*declared, *(f.text() for f in functions)])


class Function:
    """A function that is being written. Parameters by name: "i64", or "i64[]" for the address of an array.

    No two arrays that are given to one call may overlap. Results go to arrays: the function returns nothing.
    """

    def __init__(self, name: str, **parameters: str) -> None:
        self.name = name
        self.declared: set[str] = set()
        self.parameters = [self._parameter(key, kind) for key, kind in parameters.items()]
        self._locals: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._loops: list[tuple[str, str]] = []  # (where the next round begins, where one goes on after it)
        self._joined = ""  # the label that ended the last `when`, while `otherwise` may follow

    def text(self) -> str:
        """The function as LLVM IR."""
        given = ", ".join(
            f"ptr noalias {p.name}" if p.element else f"{p.type} {p.name}" for p in self.parameters
        )
        lines = [
            f"define void @{self.name}({given}) {{",
            "entry:",
            *self._locals,
            *self._lines,
            "  ret void",
            "}",
        ]
        return "\n".join(lines) + "\n"

    # ---- values

    def value(self, given: Operand, type_: str) -> Value:
        """A Value as it is; a number as a constant of a type."""
        return given if isinstance(given, Value) else Value(self, type_, str(_signed(given)))

    def variable(self, start: Operand, type_: str = "i64") -> Variable:
        """A local variable and what it holds at this point."""
        made = Variable(self._local(type_))
        made.value = start
        return made

    def select(self, condition: Value, chosen: Operand, other: Operand, type_: str = "i64") -> Value:
        """One of two values, without a jump."""
        first, second = self.value(chosen, type_), self.value(other, type_)
        text = f"select i1 {condition.name}, {first.type} {first.name}, {second.type} {second.name}"
        return self.let(text, first.type, first.element)

    def splat(self, value: Value, lanes: int) -> Value:
        """A vector with `value` in each lane."""
        wide = f"<{lanes} x {value.type}>"
        one = self.let(f"insertelement {wide} poison, {value.type} {value.name}, i64 0", wide)
        return self.let(
            f"shufflevector {wide} {one.name}, {wide} poison, <{lanes} x i32> zeroinitializer", wide
        )

    def load(self, type_: str, place: Value) -> Value:
        """What lies at an address; aligned like one element of the array there."""
        return self.let(f"load {type_}, ptr {place.name}, align {_size(place.element)}", type_)

    def store(self, value: Value, place: Value) -> None:
        self._put(f"store {value.type} {value.name}, ptr {place.name}, align {_size(place.element)}")

    def intrinsic(self, name: str, returns: str, *given: Value | str) -> Value:
        """A call of one of LLVM's own functions; constants that must be such are given as text, "i1 false"."""
        typed = [x if isinstance(x, str) else f"{x.type} {x.name}" for x in given]
        self.declared.add(f"declare {returns} @{name}({', '.join(x.split()[0] for x in typed)})")
        call = f"call {returns} @{name}({', '.join(typed)})"
        if returns == "void":
            self._put(call)
            return Value(self, "void", "")
        return self.let(call, returns)

    def pointer(self, word: Value, element: str) -> Value:
        """The array whose address an integer is."""
        return self.let(f"inttoptr i64 {word.name} to ptr", "ptr", element)

    def take(self, counter: Value) -> Value:
        """What an integer in memory is, which is one more thereafter; no two threads get the same."""
        return self.let(f"atomicrmw add ptr {counter.name}, i64 1 monotonic", "i64")

    def call(self, other: Function, *given: Value) -> None:
        """Call another function of the module."""
        self._put(f"call void @{other.name}({', '.join(f'{x.type} {x.name}' for x in given)})")

    def prefetch(self, place: Value, write: bool = False) -> None:
        """Ask for the cache line at an address."""
        self.intrinsic("llvm.prefetch.p0", "void", place, f"i32 {int(write)}", "i32 3", "i32 1")

    def high_product(self, a: Value, b: Value) -> Value:
        """The high half of the product of two 64-bit integers without sign."""
        return (a.to("i128") * b.to("i128") >> 64).to("i64")

    # ---- control

    @contextmanager
    def loop(self, stop: Operand, start: Operand = 0, step: int = 1) -> Iterator[Value]:
        """Count from `start` to below `stop`, all of them signed; gives the counter."""
        counter = self.variable(start)
        head, body, following, end = self._labels("loop", "body", "next", "done")
        self._jump(head)
        self._label(head)
        i = counter.value
        self._branch(i < stop, body, end)
        self._label(body)
        self._loops.append((following, end))
        yield i
        self._loops.pop()
        self._jump(following)
        self._label(following)
        counter.value = i + step
        self._jump(head)
        self._label(end)

    @contextmanager
    def forever(self) -> Iterator[None]:
        """Repeat until `leave`."""
        head, end = self._labels("again", "left")
        self._jump(head)
        self._label(head)
        self._loops.append((head, end))
        yield
        self._loops.pop()
        self._jump(head)
        self._label(end)

    def leave(self) -> None:
        """Go on after the innermost loop."""
        self._jump(self._loops[-1][1])
        self._label(*self._labels("unreached"))

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Do this if a condition holds; `otherwise` may follow."""
        then, other, join = self._labels("then", "else", "join")
        self._branch(condition, then, other)
        self._label(then)
        yield
        self._jump(join)
        self._label(other)
        self._jump(join)
        self._label(join)
        self._joined = join

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """Do this if the condition of the `when` just before did not hold."""
        join = self._joined
        assert join and self._lines[-1] == f"{join}:", "otherwise must follow a when"
        del self._lines[-2:]
        yield
        self._jump(join)
        self._label(join)

    # ---- lines

    def let(self, text: str, type_: str, element: str = "") -> Value:
        """An instruction and its result."""
        name = f"%v{self._next()}"
        self._put(f"{name} = {text}")
        return Value(self, type_, name, element)

    def _parameter(self, name: str, kind: str) -> Value:
        element = kind.removesuffix("[]")
        return Value(self, "ptr", f"%{name}", element) if element != kind else Value(self, kind, f"%{name}")

    def _local(self, type_: str) -> Value:
        name = f"%local{self._next()}"
        self._locals.append(f"  {name} = alloca {type_}")
        return Value(self, "ptr", name, type_)

    def _labels(self, *hints: str) -> list[str]:
        number = self._next()
        return [f"{hint}{number}" for hint in hints]

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _put(self, line: str) -> None:
        self._lines.append(f"  {line}")

    def _label(self, name: str) -> None:
        self._lines.append(f"{name}:")

    def _jump(self, label: str) -> None:
        self._put(f"br label %{label}")

    def _branch(self, condition: Value, yes: str, no: str) -> None:
        self._put(f"br i1 {condition.name}, label %{yes}, label %{no}")


def _size(element: str) -> int:
    """Bytes of an element, or of a vector's, which is how it is aligned."""
    one = lane(element)
    return (FLOATS.get(one) or int(one[1:])) // 8


def _signed(number: int) -> int:
    """A constant as LLVM reads it: an integer of 64 bits at most, with its sign."""
    return number - (1 << 64) if number >= 1 << 63 else number
