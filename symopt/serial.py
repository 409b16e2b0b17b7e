"""Symbols as MXNet's JSON: nodes in topological order, inputs as [node, output, version], attributes as strings.

What MXNet's files do not say is said in its terms:

* version 0 of a variable is its value at the start of the step; version v, its value after the v-th op in the file
  that updates it as a state. A chained state is saved and loaded as that.
* [node, k, 0] with k > 0 is the new value of the node's k-th state, read by something that does not update it.
* `__out__` is the list of variables that `out=` writes: their names, or their ids where a name is not unique.
* `__scalars__` is the list of attributes given as Symbols, whose nodes follow the op's own inputs.

Graphs of `mxnet1_` ops are saved as MXNet 1 wrote them, everything else as MXNet 2; see `jsonread` for loading.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from .errors import FormatError
from .expr import PICK, VARIABLE, Node, children, origin, toposort
from .forms import find_op as find_registered
from .forms import get_op, op_of
from .jsonread import OLD, find_op, read_nodes
from .symbol import Symbol

MXNET1, MXNET2 = 10901, 20000
Entry = tuple[int, int, int]


def load_json(text: str) -> Symbol:
    """The Symbol of a text in MXNet's JSON format. FormatError or UnknownOpError if it is none."""
    return Symbol(read_nodes(text))


def load(fname: str | PathLike[str]) -> Symbol:
    """The Symbol in a file."""
    try:
        text = Path(fname).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{fname} is no text: {error}") from None
    return load_json(text)


def save(fname: str | PathLike[str], outputs: Symbol | Sequence[Node]) -> None:
    """Write the JSON of a Symbol to a file."""
    Path(fname).write_text(tojson(outputs), encoding="utf-8")


def tojson(outputs: Symbol | Sequence[Node]) -> str:
    """The JSON of a Symbol, or of the nodes of its outputs."""
    roots = outputs._outputs if isinstance(outputs, Symbol) else outputs
    order = [node for node in toposort(roots, children) if node.op != PICK]
    version, names = _dialect({node.op for node in order} - {VARIABLE})
    writer = _Writer(order, names)
    nodes = [json.dumps(writer.record(i, node)) for i, node in enumerate(order)]
    heads = [writer.entry(root) for root in roots]
    lines = (
        '  "nodes": [\n    ' + ",\n    ".join(nodes) + "\n  ]",
        f'  "arg_nodes": {[i for i, node in enumerate(order) if node.op == VARIABLE]}',
        f'  "node_row_ptr": {writer.row_pointers()}',
        f'  "heads": {json.dumps(heads)}',
        f'  "attrs": {{"mxnet_version": ["int", {version}]}}',
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _dialect(ops: set[str]) -> tuple[int, dict[str, str]]:
    """The version to save under, and the name of each op in such a file."""
    current = {name: get_op(name).mxnet or name for name in ops}
    if any(name.startswith(OLD) for name in ops):
        bare = {name: find_registered(name.removeprefix(OLD)) for name in ops}
        old = {name: (op.mxnet or op.name) if op else name.removeprefix(OLD) for name, op in bare.items()}
        if all(_loads_as(old[name], name) for name in ops):
            return MXNET1, old
    return MXNET2, current


def _loads_as(file_name: str, name: str) -> bool:
    try:
        return find_op(file_name, MXNET1).name == name
    except (FormatError, AttributeError):  # UnknownOpError is an AttributeError
        return False


class _Writer:
    """Numbers of the nodes, and the history of every state, in the order of the file."""

    def __init__(self, order: Sequence[Node], names: Mapping[str, str]) -> None:
        self.names = names
        self.ids = {id(node): i for i, node in enumerate(order)}
        self.same_name = Counter(node.name for node in order if node.op == VARIABLE)
        self.outputs = [1] * len(order)
        self.versions: dict[tuple[int, int], tuple[int, int]] = {}  # output of an op: variable and version
        self.writes: Counter[int] = Counter()

    def record(self, i: int, node: Node) -> dict[str, Any]:
        if node.op == VARIABLE:
            return _record(VARIABLE, node.name, {k: str(v) for k, v in node.attrs.items()}, [])
        op = op_of(node)
        inputs = [self.entry(n, chained=p in op.state_positions) for p, n in enumerate(node.inputs)]
        self.outputs[i] = max(op.n_results, 1)
        for k, p in enumerate(op.state_positions, op.n_results):
            self._count(i, k, node.inputs[p])
        attrs = {key: self._text(key, value) for key, value in node.attrs.items()}
        return _record(self.names[node.op], node.name, attrs, inputs)

    def entry(self, node: Node, chained: bool = False) -> Entry:
        made, index = origin(node)
        i = self.ids[id(made)]
        if index and chained and (i, index) in self.versions:
            variable, version = self.versions[i, index]
            return variable, 0, version
        self.outputs[i] = max(self.outputs[i], index + 1)
        return i, index, 0

    def row_pointers(self) -> list[int]:
        pointers = [0]
        for count in self.outputs:
            pointers.append(pointers[-1] + count)
        return pointers

    def _count(self, i: int, k: int, state: Node) -> None:
        made, index = origin(state)
        j = self.ids[id(made)]
        if made.op == VARIABLE:
            variable = j
        elif (j, index) in self.versions:
            variable = self.versions[j, index][0]
        else:
            return
        self.writes[variable] += 1
        self.versions[i, k] = variable, self.writes[variable]

    def _text(self, key: str, value: Any) -> str:
        if key == "__out__":
            return json.dumps([n.name if self.same_name[n.name] == 1 else self.ids[id(n)] for n in value])
        if key == "__scalars__":
            return json.dumps(value)
        return repr(value) if isinstance(value, float) else str(value)


def _record(op: str, name: str, attrs: Mapping[str, str], inputs: Sequence[Entry]) -> dict[str, Any]:
    record: dict[str, Any] = {"op": op, "name": name}
    if attrs:
        record["attrs"] = attrs
    record["inputs"] = inputs
    return record
