"""An op's formula, traced on placeholders, as terms with the names its author gave to values."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from .. import lang, matrices
from ..attrs import REQUIRED, Attr
from ..errors import AttributeValueError, UnknownAttributeError, Where, near
from ..expr import Extent, Node, toposort
from ..forms import of_count
from ..opdef import STORAGE_ATTRS, OpDef
from ..prims import CAST, PAIR, PRIMS
from ..shapes import EXTENTS
from ..trace import trace
from .labels import PARTS, with_part
from .reading import read
from .terms import Term, in_order, number, rebuilt, term

# What these attributes are where they do nothing. Clips and bounds do nothing below zero.
NEUTRAL = {"rescale_grad": 1.0, "wd": 0.0, "wd_lh": 0.0}
OFF = -1.0
# How many there are of what, as the engine calls it, and in the language of formulas.
COUNTS = {
    "count:row": "row_count",
    "count:column": "column_count",
    "count:tensor": "count",
    "count:matrices": "matrices",
}
LANGUAGE = {*lang.__all__, *matrices.__all__}
# Flags that must be given, for a formula to look at.
PLACEHOLDERS: dict[str, Any] = {"bool": False, "axis": False, "int": 1, "str": "", "dtype": "float32"}


class Formula(NamedTuple):
    """`outputs`: what each output is, by name; `names`: what the author calls values in between; `inexact`: functions
    of array values whose last digit is the platform's; `leaves`: (`input` or `attr`, name) of what it reads."""

    op: OpDef
    outputs: dict[str, Term]
    names: dict[Term, str]
    inexact: tuple[str, ...]
    leaves: frozenset[tuple[str, str]]


def single(op: OpDef) -> OpDef:
    """What an op does to one tensor, if it takes any number of them."""
    if op.base is not None:
        return single(op.base)
    return of_count(op, 1).parts[0].op if op.is_variadic else op


def formula_of(op: OpDef, values: Mapping[str, Any] | None = None, tall: bool = False) -> Formula:
    """The formula with numbers and flags put in; clips and bounds are on, flags at their defaults, if not given.

    `tall`: of a formula on matrices, with more rows than columns.
    """
    op = single(op)
    parsed = {name: _parsed(op, name, value) for name, value in (values or {}).items()}
    return _formula(op, tuple(sorted(parsed.items())), tall)


def neutral_values(op: OpDef) -> dict[str, float]:
    """Attributes that do nothing by default, at what makes them do nothing."""
    op = single(op)
    off = {a.name: OFF for a in op.attrs.values() if a.switch and a.default is not REQUIRED and a.default < 0}
    return off | {n: v for n, v in NEUTRAL.items() if n in op.attrs and op.attrs[n].default == v}


def flags(op: OpDef) -> tuple[Attr, ...]:
    """The attributes that decide what the formula says."""
    storage = {a.name for a in STORAGE_ATTRS}
    return tuple(a for n, a in op.attrs.items() if not a.is_numeric and n in op.keywords and n not in storage)


def _parsed(op: OpDef, name: str, value: Any) -> Any:
    attr = op.attrs.get(name)
    if attr is None:
        raise UnknownAttributeError(f"{op.name}: no attribute is called {name!r}{near(name, op.attrs)}")
    if attr.kind == "axis" and isinstance(value, bool):
        return value  # over each row, or over all
    try:
        return attr.parse(value)
    except ValueError as error:
        raise AttributeValueError(f"{op.name}: {name} {error}") from None


@cache
def _formula(op: OpDef, values: tuple[tuple[str, Any], ...], tall: bool) -> Formula:
    given = dict(values)
    structural = {a.name: _flag(a, given) for a in op.attrs.values() if not a.is_numeric}
    switches = {a.name: given.get(a.name, 0) >= 0 for a in op.attrs.values() if a.switch}
    return traced(op, structural, switches, {n: x for n, x in given.items() if n in op.numeric}, tall)


def traced(
    op: OpDef,
    structural: Mapping[str, Any],
    switches: Mapping[str, bool],
    numbers: Mapping[str, float],
    tall: bool = False,
    parts: frozenset[str] = frozenset(),
) -> Formula:
    """The formula under these flags, with these numbers put in; of switches not given nobody knows if they are on.
    `parts`: inputs that are complex. What is complex then is given part by part."""
    inputs = [
        (i.name, "complex128" if i.name in parts else "float64", EXTENTS.get(i.kind, Extent.ELEMENT))
        for i in op.inputs
    ]
    _, outputs = trace(op, inputs, structural, switches, {}, tall)
    order = toposort(outputs.values())
    terms = _terms(order)
    names = {terms[id(n)]: name for n, name in author_names(order).items()}
    made = {term("attr", value=n): number(x) for n, x in numbers.items()}
    found = [(output_name(op, name), node) for name, node in outputs.items()]
    whole = {with_part(n, p): x for n, node in found for p, x in parts_of(node)}
    roots = rebuilt([terms[id(x)] for x in whole.values()], made, read)
    new_names = {made[t]: name for t, name in names.items() if t in made and made[t].args}
    leaves = frozenset((t.op, str(t.value)) for t in in_order(roots) if t.op in ("input", "attr"))
    return Formula(op, dict(zip(whole, roots)), new_names, _inexact(order), leaves)


def parts_of(root: Node) -> list[tuple[str, Node]]:
    """What is stored, by part: of a complex number two, of a real one itself under ""."""
    return list(zip(PARTS, root.inputs)) if root.op == PAIR else [("", root)]


def output_name(op: OpDef, name: str) -> str:
    """What an output is called: a state by its name, the result of an update op by what it is."""
    if name != "output" or not op.is_update:
        return name
    return op.inputs[0].name if op.gives == "weight" else op.gives


def _flag(attr: Attr, given: Mapping[str, Any]) -> Any:
    if attr.name in given:
        return given[attr.name]
    if attr.default is REQUIRED:
        return PLACEHOLDERS.get(attr.kind, "")
    return False if attr.kind == "axis" else attr.default


def _terms(order: Iterable[Node]) -> dict[int, Term]:
    """Each node, by id, as a term."""
    found: dict[int, Term] = {}
    for node in order:
        if node.op == PAIR:
            continue
        if node.op == "load":
            found[id(node)] = loaded(node)
        elif node.op == "const":
            found[id(node)] = number(node.attrs["value"])
        elif node.op == "scalar":
            name = str(node.attrs["name"])
            found[id(node)] = term(COUNTS[name]) if name in COUNTS else term("attr", value=name)
        else:
            op = node.type.dtype if node.op == CAST and node.type else node.op
            found[id(node)] = read(term(op, *(found[id(x)] for x in node.inputs)))
            if op == "float64" and node.op == CAST:
                found[id(node)] = found[id(node.inputs[0])]  # what all is computed in here
    return found


def loaded(load: Node) -> Term:
    """An array that a formula reads, or one part of it."""
    leaf = term("input", value=str(load.attrs["name"]))
    part = load.attrs.get("part")
    return leaf if part is None else term(PARTS[part], leaf)


def _inexact(order: Iterable[Node]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(n.op for n in order if n.type and n.type.extent > Extent.HOST and not is_exact(n))
    )


def is_exact(node: Node) -> bool:
    """Whether a primitive of array values has the same bits on every engine and machine."""
    if node.op == "matmul":  # of a column and a row nothing is summed
        return node.inputs[0].type is not None and node.inputs[0].type.grid[1] == "1"
    return node.op not in PRIMS or PRIMS[node.op].exact


def author_names(order: Iterable[Node]) -> dict[Node, str]:
    """Nodes that are the whole value of a line `name = ...` of the formula.

    Whatever else a line makes is read by what it makes last, so the value is what no node of the line reads; unless a
    function that is not of the language reads it, and then it is what the line makes last.
    """
    lines: dict[int, Where | None] = {}
    inside: set[int] = set()
    nodes = [n for n in order if n.inputs]
    for node in nodes:
        lines[id(node)] = node.where or next((lines.get(id(x)) for x in node.inputs), None)
        inside.update(id(x) for x in node.inputs if lines.get(id(x)) == lines[id(node)])
    found: dict[Node, str] = {}
    last: dict[Where, Node] = {}
    for node in nodes:
        if node.where and id(node) not in inside:
            name, has_calls = _assigned(node.where)
            if name:
                found[node] = name
            if has_calls and node.where in last:
                del found[last[node.where]]
            last[node.where] = node
    return found


@cache
def _assigned(where: Where) -> tuple[str, bool]:
    """The variable that a line assigns, and whether it calls functions that are not of the language; "" if it assigns
    none, or what such a function returns as it is."""
    try:
        (statement,) = ast.parse(linecache.getline(where.file, where.line).strip()).body
    except (SyntaxError, ValueError):
        return "", False
    if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
        return "", False
    calls = [n.func for n in ast.walk(statement.value) if isinstance(n, ast.Call)]
    has_calls = any(getattr(f, "id", getattr(f, "attr", "")) not in LANGUAGE for f in calls)
    is_made_here = isinstance(statement.value, ast.BinOp) or not has_calls
    return (statement.targets[0].id, has_calls) if is_made_here else ("", False)
