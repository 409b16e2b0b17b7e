"""Reads MXNet's JSON, also as old versions wrote it. Trusts nothing in it, executes nothing, never recurses.

A file of a version below 20000, or of none, means MXNet 1's formulas: `mxnet1_<name>` where there is such an op.
Accepted of old files: `attr` and `param` for `attrs`, inputs without version, `lr_mult` for `__lr_mult__` (and the
like), and `weight_lr_mult` on an op for the variable that is its weight.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from .attrs import REQUIRED
from .dtypes import DTYPES
from .errors import FormatError, UnknownOpError, near
from .expr import VARIABLE, Node, pick
from .forms import concrete, op_of, tensors_in
from .forms import find_op as find_registered
from .opdef import OPS, OpDef

OLD = "mxnet1_"
FIRST_NEW_VERSION = 20000
HIDDEN = ("ctx_group", "lr_mult", "wd_mult", "force_mirroring", "mirror_stage", "profiler_scope")
LONG = 100  # of a name in a file, so much is quoted


def read_nodes(text: str) -> tuple[Node, ...]:
    """The outputs of the graph in a JSON text. FormatError or UnknownOpError say which node is wrong."""
    graph = _parse(text)
    if not isinstance(graph, dict) or not isinstance(graph.get("nodes"), list):
        raise FormatError("this is no symbol in MXNet's JSON format: it has no list of nodes")
    reader = _Reader(graph["nodes"], _version(graph))
    for i, raw in enumerate(graph["nodes"]):
        if raw["op"] != VARIABLE:
            reader.make_op(i, raw)
    heads = graph.get("heads")
    if not isinstance(heads, list) or not heads:
        raise FormatError("the graph has no heads")
    return tuple(reader.entry(None, head) for head in heads)


def find_op(name: str, version: int) -> OpDef:
    """The op that a file of a version of MXNet calls `name`."""
    op = find_registered(name)
    if version < FIRST_NEW_VERSION:
        op = find_registered(OLD + name) or (op and find_registered(OLD + op.name)) or op
    if op is None:
        raise UnknownOpError(f"no op is called {name[:LONG]!r}{near(name[:LONG], OPS)}")
    return op


def _parse(text: Any) -> Any:
    if not isinstance(text, str):
        raise FormatError(f"a symbol's JSON is a string, got {type(text).__name__}")
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise FormatError("this is no symbol in MXNet's JSON format: it is nested too deeply") from None
    except (ValueError, MemoryError) as error:
        raise FormatError(f"this is no symbol in MXNet's JSON format: {str(error)[:LONG]}") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _version(graph: dict[str, Any]) -> int:
    attrs = graph.get("attrs", {})
    if not isinstance(attrs, dict):
        raise FormatError("attrs of the graph must be an object")
    version = attrs.get("mxnet_version", ["int", 0])
    if not isinstance(version, list) or len(version) != 2 or type(version[1]) is not int or version[1] < 0:
        raise FormatError('mxnet_version must be ["int", number]')
    return int(version[1])


class _Reader:
    """The nodes made so far, and for every variable the ops that have updated it as a state."""

    def __init__(self, raw_nodes: list[Any], version: int) -> None:
        self.version = version
        self.ops: dict[str, OpDef] = {}
        self.texts: list[dict[str, str]] = []
        self.nodes: list[Node | None] = []
        self.named: dict[str, list[int]] = {}
        self.writers: dict[int, list[tuple[int, Node]]] = {}  # of a variable: (version read, new value)
        self.states: dict[tuple[int, int], int] = {}  # output k of an op: the variable it is the new value of
        self.picks: dict[tuple[int, int], Node] = {}
        for i, raw in enumerate(raw_nodes):
            self._first_look(i, raw)

    def _first_look(self, i: int, raw: Any) -> None:
        if (
            not isinstance(raw, dict)
            or not isinstance(raw.get("op"), str)
            or not isinstance(raw.get("name"), str)
        ):
            raise FormatError(f"node {i} must be an object with the strings op and name")
        if not isinstance(raw.get("inputs", []), list):
            self._fail(i, raw, "inputs must be a list")
        texts: dict[str, str] = {}
        for key in ("param", "attr", "attrs"):
            given = raw.get(key, {})
            if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
                self._fail(i, raw, f"{key} must be an object of strings")
            texts |= given
        self.texts.append(texts)
        self.nodes.append(None)
        if raw["op"] == VARIABLE:
            self._make_variable(i, raw)

    def _make_variable(self, i: int, raw: dict[str, Any]) -> None:
        texts = self.texts[i]
        if raw.get("inputs"):
            self._fail(i, raw, "a variable has no inputs")
        if "__out__" in texts or "__scalars__" in texts:
            self._fail(i, raw, "__out__ and __scalars__ belong to ops")
        for key in HIDDEN:
            if key in texts:
                texts.setdefault(f"__{key}__", texts.pop(key))
        self.nodes[i] = Node(VARIABLE, (), texts, raw["name"])
        self.named.setdefault(raw["name"], []).append(i)

    def make_op(self, i: int, raw: dict[str, Any]) -> None:
        op = self.ops.get(raw["op"])
        if op is None:
            op = self.ops[raw["op"]] = find_op(raw["op"], self.version)
        entries = raw.get("inputs", ())
        op = self._of_so_many(i, raw, op, len(entries))
        written = set(op.state_positions)
        inputs = tuple(self.entry(i, entry, k in written) for k, entry in enumerate(entries))
        attrs = self._attrs(i, raw, op)
        scalars = attrs.get("__scalars__", ())
        count = len(inputs) - len(scalars)
        if count != len(op.inputs):
            self._fail(
                i, raw, f"{op.name} takes {', '.join(op.input_names()) or 'arrays'}, got {len(inputs)} inputs"
            )
        if op.parts and attrs.get(op.count, len(op.parts)) != len(op.parts):
            self._fail(i, raw, f"{op.count} = {attrs[op.count]}, but there are {len(op.parts)}")
        for key, attr in op.attrs.items():
            if attr.default is REQUIRED and key not in attrs and key not in scalars:
                self._fail(i, raw, f"{op.name} needs the attribute {key}")
        self.nodes[i] = Node(op.name, inputs, attrs, raw["name"])
        for k, position in enumerate(op.state_positions, op.n_results):
            self._record_write(i, k, raw["inputs"][position])

    def _of_so_many(self, i: int, raw: dict[str, Any], op: OpDef, count: int) -> OpDef:
        """The op with as many inputs as the node has, without those that `__scalars__` adds."""
        texts = self.texts[i]
        if "__scalars__" in texts:
            count -= len(self._list(i, raw, "__scalars__", texts["__scalars__"]))
        kahan = texts.get("kahan", "").lower() in ("true", "1")
        if op.is_variadic and not tensors_in(op, max(count, 0), kahan):
            self._fail(i, raw, f"{op.name} cannot have {count} inputs")
        return concrete(op, {"kahan": kahan}, count)

    def entry(self, i: int | None, entry: Any, is_written: bool = False) -> Node:
        """The node that an input of node i, which updates it or not, or a head, stands for."""
        limit = len(self.nodes) if i is None else i
        if not isinstance(entry, list) or len(entry) not in (2, 3) or not all(type(n) is int for n in entry):
            raise FormatError(f"{_place(i)} must be [node, output, version], got {_quote(entry)}")
        numbers: list[int] = [*entry, 0]
        source, index, version = numbers[:3]
        node = self.nodes[source] if 0 <= source < limit else None
        if node is None:
            raise FormatError(f"{_place(i)} refers to node {_quote(source)}: there is none before it")
        outputs = 1 if node.op == VARIABLE else len(op_of(node).outputs)
        writers = self.writers.get(source, []) if node.op == VARIABLE else []
        if not 0 <= index < outputs:
            raise FormatError(
                f"{_place(i)}: node {source} has {outputs} outputs, none of number {_quote(index)}"
            )
        # MXNet counts once more when a node with a state is composed again: then only the order of versions is left.
        if writers[0][0] if writers else is_written:
            version = sum(read < version for read, _ in writers)
        if not 0 <= version <= len(writers):
            raise FormatError(f"{_place(i)}: node {source} has no version {_quote(version)} there")
        if version:
            return writers[version - 1][1]
        return self._pick(source, index) if index else node

    def _pick(self, i: int, index: int) -> Node:
        node = self.nodes[i]
        assert node is not None
        if (i, index) not in self.picks:
            self.picks[i, index] = pick(node, index)
        return self.picks[i, index]

    def _record_write(self, i: int, k: int, entry: list[int]) -> None:
        source = self.nodes[entry[0]]
        is_variable = source is not None and source.op == VARIABLE
        variable = entry[0] if is_variable else self.states.get((entry[0], entry[1]))
        if variable is not None:
            self.states[i, k] = variable
            writers = self.writers.setdefault(variable, [])
            read = [*entry, 0][2] if is_variable else max((version for version, _ in writers), default=-1) + 1
            writers.append((read, self._pick(i, k)))

    # ---- attributes

    def _attrs(self, i: int, raw: dict[str, Any], op: OpDef) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        for key, text in self.texts[i].items():
            if key == "__out__":
                attrs[key] = tuple(self._out(i, raw, name) for name in self._list(i, raw, key, text))
            elif key == "__scalars__":
                attrs[key] = self._scalars(i, raw, op, self._list(i, raw, key, text))
            elif key in op.attrs:
                attrs[key] = self._value(i, raw, op, key, text)
            elif key.startswith("__") and key.endswith("__"):
                attrs[key] = text
            elif key in HIDDEN:
                attrs.setdefault(f"__{key}__", text)
            elif not self._move(raw, op, key, text):
                self._fail(i, raw, f"{op.name} has no attribute {key[:LONG]!r}{near(key[:LONG], op.attrs)}")
        return attrs

    def _value(self, i: int, raw: dict[str, Any], op: OpDef, key: str, text: str) -> Any:
        attr = op.attrs[key]
        try:
            if attr.kind == "dtype" and text not in DTYPES:
                raise ValueError(f"must be one of {', '.join(DTYPES)}, got {text[:LONG]!r}")
            return attr.parse(text)
        except (ValueError, TypeError, SyntaxError, ArithmeticError, MemoryError, RecursionError) as error:
            self._fail(i, raw, f"{key} {str(error)[:LONG]}")

    def _move(self, raw: dict[str, Any], op: OpDef, key: str, text: str) -> bool:
        """Old files say `weight_lr_mult` on the op for `__lr_mult__` of its weight."""
        inputs = raw.get("inputs", [])
        names = op.input_names()
        for hidden in HIDDEN:
            name = key.removesuffix(f"_{hidden}")
            if name != key and name in names:
                source = inputs[names.index(name)][0]
                node = self.nodes[source]
                if node is not None and node.op == VARIABLE:
                    self.texts[source].setdefault(f"__{hidden}__", text)
                    return True
        return False

    def _list(self, i: int, raw: dict[str, Any], key: str, text: str) -> list[Any]:
        found = _parse(text)
        if not isinstance(found, list) or not found:
            self._fail(i, raw, f"{key} must be a list")
        return found

    def _out(self, i: int, raw: dict[str, Any], name: Any) -> Node:
        """The variable of a name, or of an id where several have that name; it may come later in the file."""
        ids = self.named.get(name, []) if isinstance(name, str) else [name]
        if len(ids) != 1 or type(ids[0]) is not int or not 0 <= ids[0] < len(self.nodes):
            self._fail(i, raw, f"__out__ names {_quote(name)}, which is not the name of one variable")
        node = self.nodes[ids[0]]
        if node is None or node.op != VARIABLE:
            self._fail(i, raw, f"__out__ names node {ids[0]}, which is no variable")
        return node

    def _scalars(self, i: int, raw: dict[str, Any], op: OpDef, names: list[Any]) -> tuple[str, ...]:
        if not all(isinstance(n, str) and n in op.numeric for n in names) or len(set(names)) < len(names):
            self._fail(i, raw, f"__scalars__ must list numeric attributes of {op.name}, each once")
        if not self.texts[i].keys().isdisjoint(names):
            self._fail(i, raw, "an attribute is given as a number and in __scalars__")
        return tuple(names)

    def _fail(self, i: int, raw: dict[str, Any], message: str) -> NoReturn:
        raise FormatError(f"node {i} ({raw['op'][:LONG]} {raw['name'][:LONG]!r}): {message}") from None


def _quote(value: Any) -> str:
    """A piece of the file in an error; not what is inside of it, which may be of any size and depth."""
    return repr(value)[:LONG] if isinstance(value, (int, str)) else f"a {type(value).__name__}"


def _place(i: int | None) -> str:
    return "a head" if i is None else f"an input of node {i}"
