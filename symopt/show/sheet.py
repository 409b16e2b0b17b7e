"""What is known of an op, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from ..attrs import REQUIRED, Attr
from ..complexrules import complex_outputs
from ..dtypes import FLOATS, NARROW
from ..errors import AttributeValueError, DTypeError
from ..expr import Extent, Node
from ..forms import find_op, then_op
from ..opdef import OPS, STORAGE_ATTRS, OpDef
from ..shapes import reach
from .agree import ROUNDED, Agreement, agreements, structural_defaults
from .formula import flags, formula_of, single
from .lines import lines_of
from .maths import text_lines

KINDS = {
    "tensor": "",
    "matrix": "matrices",
    "state": "state",
    "row_state": "state, one value per row",
    "column_state": "state, one value per column",
    "scalar": "one element",
    "condition": "condition",
    "master": "state, the weight in float32",
    "tensors": "any number",
    "states": "any number, updated",
    "vector": "one number per tensor",
}
FORMS = ("mp_", "multi_", "multi_mp_", "preloaded_multi_", "preloaded_multi_mp_")
EXACT = "the same on every engine and machine"
_STORAGE = tuple(a.name for a in STORAGE_ATTRS)


def shown(attr: Attr) -> str:
    """The default of an attribute, for people."""
    if attr.default is REQUIRED:
        return "required"
    if attr.switch and attr.default < 0:
        return "off"
    return f"{attr.default:g}" if attr.is_numeric else str(attr.default)


def formula_text(op: OpDef, values: Mapping[str, Any] | None = None, tall: bool = False) -> list[str]:
    """The formula's lines."""
    return text_lines(lines_of(formula_of(op, values, tall)))


def together_text(op: OpDef) -> str:
    """What an op of any number of arrays makes of the results, one for each."""
    return "" if op.then is None else "; ".join(formula_text(then_op(op)))


def inputs_text(op: OpDef) -> str:
    """The inputs in order, each with its kind, and what states begin with if not with 0."""
    found = []
    for i in op.inputs:
        first = f"begins as {op.initial[i.name]}" if i.name in op.initial else ""
        notes = ", ".join(filter(None, (KINDS[i.kind], first)))
        found.append(f"{i.name} ({notes})" if notes else i.name)
    return ", ".join(found)


def forms_of(op: OpDef) -> list[str]:
    """Prefixes of the forms that are derived from an op."""
    if not op.is_update or op.is_variadic or op.master >= 0:
        return []
    return [p for p in FORMS if p + op.name not in OPS and find_op(p + op.name) is not None]


def doc_of(op: OpDef) -> str:
    """The docstring of an op, or of the op that it is a form of."""
    if op.doc:
        return op.doc
    bases = [find_op(op.name.removeprefix(p)) for p in FORMS if op.name.startswith(p)]
    return next((base.doc for base in bases if base is not None and base.doc), "")


def names_of(op: OpDef) -> list[str]:
    """The other names an op is found by."""
    return [n for n in dict.fromkeys((op.mxnet, *op.aliases)) if n and n != op.name]


def own_attributes(op: OpDef) -> list[Attr]:
    """The attributes of an op that not every update op has, and lazy_update."""
    shared = _STORAGE[1:] if op.is_update else ()
    return [a for a in op.attrs.values() if a.name not in shared]


def storage_text(op: OpDef) -> list[str]:
    """What becomes of rows that a row_sparse gradient does not list."""
    sparse = [i.name for i in op.inputs[1:] if i.kind == "tensor"]
    if not op.is_update or op.is_variadic or not sparse:
        return []
    looks = {Extent.ROW: "its own row", Extent.TENSOR: "the whole tensor"}
    extent = reach(op, structural_defaults(op))
    if extent == Extent.TENSOR:
        return [f"the formula looks at {looks[extent]}: a row_sparse {sparse[0]} is read as a dense one"]
    results = {n: op.inputs[0].name if n == "output" else n for n in op.outputs}
    always = [results[n] for n in results if n in op.standard]
    lazy = [results[n] for n in results if n not in op.standard]
    look = (
        f"the formula looks at {looks[extent]} only"
        if extent in looks
        else "the formula looks at single elements"
    )
    return [look, _lazy_line(op, lazy, always)]


def _lazy_line(op: OpDef, lazy: list[str], always: list[str]) -> str:
    on = bool(op.attrs["lazy_update"].default)
    if not lazy:
        return f"every row follows the dense formula: {', '.join(always)}"
    text = f"under lazy_update (default {on}) only listed rows change: {', '.join(lazy)}"
    return text + (f"; every row follows the dense formula: {', '.join(always)}" if always else "")


def complex_text(op: OpDef) -> str:
    """Whether the weight may be complex, and what then is: at the defaults of the attributes."""
    if not op.is_update or op.is_variadic or op.master >= 0:
        return ""
    given = frozenset(i.name for k, i in enumerate(op.inputs) if k == 0 or i.kind == "tensor")
    try:
        found = complex_outputs(Node(op.name), op, op, given, ())
    except DTypeError:
        return "no meaning for complex weights"
    kinds = [f"{name} {'complex' if name in found else 'real'}" for name in op.states]
    return "weights may be complex" + (f"; then {', '.join(kinds)}" if kinds else "")


def exactness_text(op: OpDef) -> str:
    """Whether every engine and machine gives the same bits."""
    found = sorted({name for values in _variants(op) for name in _inexact(op, values)})
    if found:
        return f"needs {', '.join(found)} of array values: the last digit is the platform's"
    return EXACT


def _variants(op: OpDef) -> list[dict[str, Any]]:
    return [{}, *(values for values, _, _ in flag_values(op))]


def _inexact(op: OpDef, values: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return formula_of(op, values).inexact
    except AttributeValueError:
        return ()


def flag_values(op: OpDef) -> Iterator[tuple[dict[str, Any], bool, str]]:
    """Each flag of the formula at its other value, whether matrices are tall, and how that is written."""
    for flag in flags(single(op)):
        if flag.kind == "axis":
            yield {flag.name: True}, False, f"{flag.name} = every axis but the first"
        elif flag.kind == "bool":
            other = flag.default is REQUIRED or not flag.default
            yield {flag.name: other}, False, f"{flag.name} = {other}"
    if op.is_matrix:
        yield {}, True, "more rows than columns"


def flag_changes(op: OpDef) -> list[tuple[str, list[str]]]:
    """For each flag that changes the formula, how it is set and the lines that are then other ones."""
    if op.is_variadic:
        return []
    usual = set(_normal(formula_text(op)))
    found = []
    for values, tall, label in flag_values(op):
        try:
            lines = formula_text(op, values, tall)
        except AttributeValueError:
            continue
        changed = [line for line, plain in zip(lines, _normal(lines)) if plain not in usual]
        if changed:
            found.append((label, changed))
    return found


def _normal(lines: Iterable[str]) -> list[str]:
    """Lines without the spaces that align them."""
    return [" ".join(line.split()) for line in lines]


def agreement_text(found: Agreement) -> str:
    """Who agrees, where, and in what not."""
    parts = [_conditions(found)]
    if found.renamed:
        parts.append(", ".join(f"{ours} is {theirs}" for ours, theirs in found.renamed))
    if found.verdict == ROUNDED:
        parts.append("but for rounding")
    if not found.same_rows:
        parts.append("rows without gradient fare otherwise")
    return found.op.name + "".join(f"; {p}" for p in parts if p)


def _conditions(found: Agreement) -> str:
    """Values under which two ops agree; those of one name and value once."""
    return ", ".join(dict.fromkeys(_setting(n, v) for at in (found.at, found.own_at) for n, v in at.items()))


def _setting(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"no {name}" if value < 0 else f"{name} = {value:g}"
    return f"{name} = {value}"


def place(op: OpDef) -> str:
    """The file of an op's formula: of symopt's own, its place in the source."""
    path = PurePath(op.where.file)
    return f"ops/{path.name}" if path.parent.name == "ops" else str(path)


def dtypes_text() -> str:
    return ", ".join(FLOATS) + f" ({' and '.join(NARROW)} are computed in float32)"


def describe(op: OpDef, values: Mapping[str, Any] | None = None) -> str:
    """All of it, for reading in a terminal."""
    return "\n".join(_sheet(op, values)).rstrip()


def _sheet(op: OpDef, values: Mapping[str, Any] | None) -> Iterator[str]:
    yield op.name
    yield from doc_of(op).splitlines()
    yield ""
    rows = [
        ("formula in", f"{place(op)}:{op.where.line}"),
        ("inputs", inputs_text(op)),
        ("also called", ", ".join(names_of(op))),
        ("in files", op.mxnet),
        ("forms", ", ".join(forms_of(op))),
        ("dtypes", dtypes_text()),
        ("complex", complex_text(op)),
        ("bits", exactness_text(op)),
        ("sparse rows", "; ".join(storage_text(op))),
        ("all arrays", together_text(op)),
    ]
    yield from (f"{label:<13}{text}" for label, text in rows if text)
    yield ""
    yield "each tensor" if op.is_variadic else "formula"
    yield from (f"  {line}" for line in formula_text(op, values))
    for label, lines in flag_changes(op):
        yield f"with {label}"
        yield from (f"  {line}" for line in lines)
    if op.attrs:
        yield ""
        yield "attributes"
        names = [(a.name, shown(a), a.doc) for a in op.attrs.values()]
        name_width, width = (max(len(row[k]) for row in names) for k in (0, 1))
        yield from (f"  {n:<{name_width}}  {d:<{width}}  {doc}".rstrip() for n, d, doc in names)
    agreeing = agreements(op)
    if agreeing:
        yield ""
        yield "the same formula"
        yield from (f"  {agreement_text(found)}" for found in agreeing)
