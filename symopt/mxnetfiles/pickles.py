"""Pickles read as data: what MXNet writes with `pickle.dumps`, made into arrays and plain containers, and nothing else.

`pickle.load` runs whatever a file says: a pickle is a program, and its REDUCE calls any function that can be imported.
This module is another interpreter for the same programs, and has none of what makes them dangerous:

* No name in a file is imported or looked up in a module. GLOBAL makes a `Name`, two strings; it is refused at once
  unless it is one of the few in `inert.py`. A `Name` cannot be called.
* REDUCE, NEWOBJ and BUILD compare the name with a table and run a function of `inert.py`. Those take bytes, strings and
  numbers, check the types of all of them by identity, and make arrays. No attribute of any object is set or read by a
  name that the file gives, so no `__setstate__` or `__reduce__` can matter; optimizers become `ObjectRecord`s.
* No pickle module is involved: neither its extension registry, nor persistent ids, nor buffers beside the file.
* Memory and time are proportional to the file. Lengths are compared with what is left of it before anything is read
  (`opcodes.py`). The memo is a dict: its numbers are names, not sizes. Arrays take no more bytes than twice the
  file's (`Budget`), however often it refers to the same ones. Keys of dicts are 64-bit integers and strings. Nothing
  is compared with a container of the file, hashed with it or printed.
* The result is copied from the interpreter's values, to a bounded depth and of a number of elements in proportion to
  the file, so cycles and values that refer to themselves a thousandfold are refused there.

Whatever does not pass is a FormatError that names the byte, and the name if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ..errors import FormatError
from .inert import Budget, Name, ObjectRecord, Unfinished, build, check_key, known_name, new_object, reduce
from .opcodes import Op, read_opcodes

DEEPEST = 32  # nested containers; MXNet's states have four
COPIES = 2  # of the file's bytes that arrays may take: NumPy's are decoded, then made
ELEMENTS = 2  # that a byte of the file may stand for, at most: MXNet's optimizers refer to one dict twice
LEAVES = (type(None), bool, int, float, str, bytes)


def read_pickle(data: bytes, classes: Collection[str] = ()) -> Any:
    """The value in a pickle of protocol 0 to 5: numbers, strings, bytes, tuples, lists, dicts, arrays, ObjectRecord.

    `classes`: "module.name" of those whose objects become records too, beside MXNet's optimizers and schedulers.
    FormatError for anything else; see the module for why no pickle can do more than that.
    """
    machine = _Machine(len(data), classes)
    for op in read_opcodes(data):
        try:
            machine.run(op)
        except FormatError as error:
            text = str(error)
            raise FormatError(text if text.startswith("at byte ") else f"at byte {op.at}: {text}") from None
    return _Finish(ELEMENTS * len(data)).plain(machine.result(), 0)


class _Machine:
    """The stack and the memo of a pickle that is being read. `marked`: the stacks below the open marks."""

    def __init__(self, size: int, classes: Collection[str]) -> None:
        self.classes = classes
        self.stack: list[Any] = []
        self.marked: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.budget = Budget(COPIES * size)

    def run(self, op: Op) -> None:
        STEPS[op.name](self, op)

    def pop(self) -> Any:
        if not self.stack:
            raise FormatError("the pickle takes a value that is not there")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        """What has been pushed since the last mark."""
        if not self.marked:
            raise FormatError("the pickle goes back to a mark that is not there")
        found, self.stack = self.stack, self.marked.pop()
        return found

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise FormatError(f"the pickle adds to a {kind.__name__} that is not there")
        return self.stack[-1]

    def result(self) -> Any:
        if self.marked or len(self.stack) != 1:
            raise FormatError("the pickle ends with more than one value, or none")
        return self.stack[0]


def _push(value: Any) -> Callable[[_Machine, Op], None]:
    return lambda machine, op: machine.stack.append(value)


def _nothing(machine: _Machine, op: Op) -> None:
    """FRAME says how to read a stream piece by piece; STOP ends."""


def _proto(machine: _Machine, op: Op) -> None:
    if op.argument > 5:
        raise FormatError(f"the pickle has protocol {op.argument}: expected 0 to 5")


def _value(machine: _Machine, op: Op) -> None:
    machine.stack.append(op.argument)


def _mark(machine: _Machine, op: Op) -> None:
    machine.marked.append(machine.stack)
    machine.stack = []


def _tuple(count: int) -> Callable[[_Machine, Op], None]:
    def run(machine: _Machine, op: Op) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(values)))

    return run


def _gather(make: Callable[[list[Any]], Any]) -> Callable[[_Machine, Op], None]:
    def run(machine: _Machine, op: Op) -> None:
        values = machine.pop_mark()
        machine.stack.append(make(values))

    return run


def _append(machine: _Machine, op: Op) -> None:
    value = machine.pop()
    machine.top(list).append(value)


def _appends(machine: _Machine, op: Op) -> None:
    values = machine.pop_mark()
    machine.top(list).extend(values)


def _dict(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise FormatError("a dict has a key without a value")
    return {check_key(key): value for key, value in zip(values[::2], values[1::2])}


def _set_item(machine: _Machine, op: Op) -> None:
    value, key = machine.pop(), machine.pop()
    machine.top(dict)[check_key(key)] = value


def _set_items(machine: _Machine, op: Op) -> None:
    values = machine.pop_mark()
    machine.top(dict).update(_dict(values))


def _put(machine: _Machine, op: Op) -> None:
    if not machine.stack:
        raise FormatError("the pickle remembers a value that is not there")
    machine.memo[len(machine.memo) if op.argument is None else op.argument] = machine.stack[-1]


def _get(machine: _Machine, op: Op) -> None:
    if op.argument not in machine.memo:
        raise FormatError(f"the pickle refers to its value {op.argument}, which is not there")
    machine.stack.append(machine.memo[op.argument])


def _global(machine: _Machine, op: Op) -> None:
    _named(machine, *op.argument)


def _stack_global(machine: _Machine, op: Op) -> None:
    name, module = machine.pop(), machine.pop()
    if type(name) is not str or type(module) is not str:
        raise FormatError("the pickle names something, and not by strings")
    _named(machine, module, name)


def _named(machine: _Machine, module: str, name: str) -> None:
    found = known_name(module, name, machine.classes)
    if found is None:
        raise FormatError(f"the pickle asks for {Name(module, name)}, which is refused: "
                          "only arrays, plain containers and MXNet's optimizers are read")  # fmt: skip
    machine.stack.append(found)


def _reduce(machine: _Machine, op: Op) -> None:
    name, args = _call(machine)
    machine.stack.append(reduce(name, args, machine.budget))


def _new_object(machine: _Machine, op: Op) -> None:
    machine.stack.append(new_object(*_call(machine)))


def _call(machine: _Machine) -> tuple[Name, tuple[Any, ...]]:
    args, name = machine.pop(), machine.pop()
    if type(name) is not Name or type(args) is not tuple:
        raise FormatError(f"the pickle calls a value of type {type(name).__name__}, which is refused")
    return name, args


def _build(machine: _Machine, op: Op) -> None:
    state = machine.pop()
    build(machine.top(Unfinished), state, machine.budget)


STEPS: dict[str, Callable[[_Machine, Op], None]] = {
    "PROTO": _proto, "FRAME": _nothing, "STOP": _nothing, "MARK": _mark,
    "NONE": _push(None), "NEWTRUE": _push(True), "NEWFALSE": _push(False), "VALUE": _value,
    "EMPTY_TUPLE": _tuple(0), "TUPLE1": _tuple(1), "TUPLE2": _tuple(2), "TUPLE3": _tuple(3), "TUPLE": _gather(tuple),
    "EMPTY_LIST": lambda machine, op: machine.stack.append([]), "LIST": _gather(list),
    "APPEND": _append, "APPENDS": _appends,
    "EMPTY_DICT": lambda machine, op: machine.stack.append({}), "DICT": _gather(_dict),
    "SETITEM": _set_item, "SETITEMS": _set_items,
    "PUT": _put, "MEMOIZE": _put, "GET": _get, "GLOBAL": _global, "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce, "NEWOBJ": _new_object, "BUILD": _build,
}  # fmt: skip


class _Finish:
    """Copies the interpreter's values, in which objects may still be `Unfinished`, into plain ones."""

    def __init__(self, most: int) -> None:
        self.left = most

    def plain(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if depth > DEEPEST or self.left < 0:
            raise FormatError(
                f"containers are nested more than {DEEPEST} deep, or refer to each other too often"
            )
        if type(value) in LEAVES or isinstance(value, np.generic):
            return value
        if type(value) in (list, tuple):
            return type(value)(self.plain(x, depth + 1) for x in value)
        if type(value) is dict:
            return {key: self.plain(x, depth + 1) for key, x in value.items()}
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        if type(value) is Unfinished and value.kind == "done":
            return value.value
        if type(value) is Unfinished and value.kind == "record" and value.name:
            attributes = self.plain(value.value or {}, depth + 1)
            return ObjectRecord(value.name.module, value.name.name, attributes)
        what = value if type(value) is Name else getattr(value, "kind", type(value).__name__)
        raise FormatError(f"{what} stands where a value is expected")
