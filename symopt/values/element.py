"""One element of a step taken apart: every value on the way to what is stored, beside the line it comes from."""

from __future__ import annotations

import linecache
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from ..backends.interpret import Watch
from ..errors import ElementIndexError, GraphError, UnknownArgumentError, Where, near
from ..expr import PICK, Node
from ..forms import op_of
from ..listing import output_name
from ..passes.ir import Call, Program, Shape, Value
from ..show.labels import quoted
from .reach import Reach
from .sections import ElementLine, Section, host_lines
from .state import State

Index = int | tuple[int, ...]


@dataclass(frozen=True)
class ElementExplanation:
    """What `name[index]` becomes (`step` is "next"), or became ("last"): `value`, exactly as it is stored.

    `lines` lead to it, each with the exact value it had. `exact`: whether each of them has the same bits on every
    engine; exp, log, tanh and powers of array values, and matrix products, have not. `nodes`: of each node that takes
    part, its op and where it was built.
    """

    name: str
    index: tuple[int, ...]
    step: str
    value: Any
    lines: tuple[ElementLine, ...]
    exact: bool
    nodes: dict[str, tuple[str, Where | None]]

    def __str__(self) -> str:
        return "\n".join(_table(self))

    def as_dict(self) -> dict[str, Any]:
        """The same as lists, dicts, strings and numbers, for JSON; what no JSON number is, as a string."""
        return {
            "name": self.name,
            "index": list(self.index),
            "step": self.step,
            "dtype": _dtype(self.value),
            "value": _plain(self.value),
            "exact": self.exact,
            "lines": [
                {
                    "name": line.name,
                    "value": _plain(line.value),
                    "dtype": _dtype(line.value),
                    "expression": line.expression,
                    "where": str(line.where) if line.where else None,
                    "source": source_of(line.where),
                    "node": line.node,
                }
                for line in self.lines
            ],
        }


def explain_element(
    program: Program,
    roots: Sequence[Node],
    nodes: Sequence[Node],
    state: State,
    name: str,
    index: Index,
    step: str,
) -> ElementExplanation:
    """Take apart what a step on `state` makes of one element. `nodes`: all of the graph.

    `name`: a variable that the step writes, a weight whose new value is an output, or an output.
    """
    value = target_of(program, roots, nodes, name)
    at = checked_index(name, index, value.shape)
    flat = int(np.ravel_multi_index(at, value.shape)) if at else 0
    sections: list[Section] = []

    def entered(call: Call, k: int, focus: int) -> tuple[Watch, Callable[[Any], None]]:
        section = Section(reach, call, k, focus)

        def done(result: Any) -> None:
            section.finish(result)
            sections.append(section)

        return section.seen, done

    with np.errstate(all="ignore"):
        reach = Reach(program, state, entered)
    if value.host:
        result: Any = np.float64(reach.numbers.values[id(value)])
        wanted = [value]
    else:
        with np.errstate(all="ignore"):
            result = reach.read(value, flat, flat + 1, flat)[0]
        wanted = [s for section in sections for s in section.sources.values() if isinstance(s, Value)]
    lines = host_lines(program.lowered.host_calls, reach.numbers, wanted)
    lines += [line for section in sections for line in section.lines]
    named = {n.name: n for n in nodes if n.inputs}
    taking_part = {
        line.node: (named[line.node].op, named[line.node].where) for line in lines if line.node in named
    }
    return ElementExplanation(
        name, at, step, result, tuple(lines), all(s.exact for s in sections), taking_part
    )


# ---- which value is meant


def target_of(program: Program, roots: Sequence[Node], nodes: Sequence[Node], name: str) -> Value:
    """The value that a step stores under a name. UnknownArgumentError for a name that the graph does not have,
    GraphError for a variable of which it makes no new value."""
    lowered = program.lowered
    if name in lowered.writes:
        return lowered.writes[name]
    made = _new_weights(program, nodes).get(name, [])
    if len(made) == 1:
        return made[0]
    outputs = {output_name(root): head for root, head in zip(roots, lowered.heads)}
    if name in outputs and name not in lowered.variables:
        return outputs[name]
    if len(made) > 1:
        raise GraphError(
            f"explain_element: {len(made)} nodes make a new value of {name!r}, and none is written into it: "
            f"name one of the outputs {_some(outputs)}"
        )
    known = {*lowered.writes, *_new_weights(program, nodes), *outputs} - (
        set(lowered.variables) - set(lowered.writes)
    )
    if name in lowered.variables:
        raise GraphError(
            f"explain_element: the step only reads {name!r}; it makes new values of {_some(known)}"
        )
    raise UnknownArgumentError(
        f"explain_element: the step has no variable or output {name!r}{near(name, known)}; it makes {_some(known)}"
    )


def _some(names: Any) -> str:
    found = sorted(names)
    return ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")


def _new_weights(program: Program, nodes: Sequence[Node]) -> dict[str, list[Value]]:
    """Of each variable that is an update op's weight, the new weights."""
    found: dict[str, list[Value]] = {}
    for node in nodes:
        if not node.inputs or node.op == PICK:
            continue
        op = op_of(node)
        if op.is_update and op.gives == "weight":
            for k in range(op.n_results):
                weight = node.inputs[op.like[k]]
                if weight.is_variable:
                    found.setdefault(weight.name, []).append(program.lowered.values[id(node)][k])
    return found


def checked_index(name: str, index: Index, shape: Shape) -> tuple[int, ...]:
    """The index as numbers >= 0, one for each axis. ElementIndexError if there is no such element."""
    given = index if isinstance(index, tuple) else (index,)
    try:
        numbers = tuple(operator.index(k) for k in given)
    except TypeError:
        numbers = None
    if numbers is None or any(isinstance(k, (bool, np.bool_)) for k in given) or len(numbers) != len(shape):
        kind = "an integer" if len(shape) == 1 else f"a tuple of {len(shape)} integers"
        raise ElementIndexError(
            f"explain_element: {name!r} has shape {shape}: expected {kind}, got {index!r}"
        )
    for axis, (k, size) in enumerate(zip(numbers, shape)):
        if not -size <= k < size:
            raise ElementIndexError(
                f"explain_element: {name!r} has shape {shape}: index {k} of axis {axis} is not in "
                f"[{-size}, {size - 1}]"
            )
    return tuple(k % size for k, size in zip(numbers, shape))


# ---- as text


def source_of(where: Where | None) -> str:
    """The line of source at a place, or nothing where it cannot be read."""
    return linecache.getline(where.file, where.line).strip() if where else ""


def _table(e: ElementExplanation) -> list[str]:
    at = f"[{', '.join(map(str, e.index))}]" if e.index else ""
    lines = [f"{quoted(e.name)}{at} after the {e.step} step: {e.value!s} ({_dtype(e.value)})"]
    width = max((len(line.name) for line in e.lines), default=0)
    value_width = max((len(str(line.value)) for line in e.lines), default=0)
    node, where = "", None
    for line in e.lines:
        if line.node != node:
            node, where = line.node, None
            lines += ["", _heading(node, *e.nodes.get(node, ("", None)))]
        if line.where is not None and line.where != where:
            lines.append(f"  {_short(line.where)}: {source_of(line.where)}")
        where = line.where or where
        lines.append(f"    {line.name:<{width}} = {line.value!s:<{value_width}}  {line.expression}".rstrip())
    if not e.exact:
        lines += ["", "the last digits of exp, log, tanh, powers and matrix products are the platform's"]
    return lines


def _heading(name: str, op: str, where: Where | None) -> str:
    source = source_of(where)
    built = f", built at {where}" + (f": {source}" if source else "") if where else ""
    return quoted(name) + (f" ({op})" if op else "") + built


def _short(where: Where) -> str:
    path = PurePath(where.file)
    return f"ops/{path.name}:{where.line}" if path.parent.name == "ops" else str(where)


def _dtype(value: Any) -> str:
    return str(np.asarray(value).dtype)


def _plain(value: Any) -> Any:
    if isinstance(value, (complex, np.complexfloating)):
        return [_plain(float(value.real)), _plain(float(value.imag))]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = float(value)
    return number if math.isfinite(number) else str(number)
