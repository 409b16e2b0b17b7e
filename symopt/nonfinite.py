"""What is told of numbers that are not finite: which array, what and where, and whose line of the user's it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .backends.base import Memory
from .backends.watched import Found
from .bound import Bound
from .errors import NonFiniteError, Where, built_at
from .expr import PICK, Node, origin, toposort
from .finite import Bad, scan
from .forms import op_of
from .listing import output_name
from .places import HOST

if TYPE_CHECKING:
    from .infer import Types
    from .passes.ir import Program

SHOWN = 20  # findings that a printed report names


@dataclass(frozen=True)
class Finding:
    """Elements of one array that are not finite.

    `role`: what an op calls the array (weight, grad, mean, ...), or "output", "number", "attribute". `what`: nan, inf
    or -inf; `count` elements are, `first` is the index of the first one: in the rows of a sparse gradient that of the
    row it stands for, () of a number. `node`: the op that writes it, or else reads it; `where` the user built that.
    """

    name: str
    role: str
    what: str
    count: int
    first: tuple[int, ...]
    node: str
    where: Where | None

    def __str__(self) -> str:
        at = f" at {list(self.first)}" if self.first else ""
        times = f", {self.count:,} times" if self.count > 1 else ""
        of = f" of {self.node!r}" if self.node else ""
        line = f" ({self.where})" if self.where else ""
        return f"{self.name!r} ({self.role}{of}): {self.what}{at}{times}{line}"


@dataclass(frozen=True)
class FiniteReport(Sequence[Finding]):
    """What was found not to be finite. True when that is nothing.

    `causes`: of a guarded step, inputs of the first finding's node that were not finite before.
    """

    findings: tuple[Finding, ...] = ()
    causes: tuple[Finding, ...] = ()

    def __bool__(self) -> bool:
        return not self.findings

    def __len__(self) -> int:
        return len(self.findings)

    def __getitem__(self, k: Any) -> Any:
        return self.findings[k]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __str__(self) -> str:
        if self:
            return "all finite"
        count = len(self.findings)
        lines = [f"not finite: {count:,} finding{'' if count == 1 else 's'}"]
        lines += [f"  {finding}" for finding in self.findings[:SHOWN]]
        lines += [f"  ... and {count - SHOWN:,} more"] if count > SHOWN else []
        lines += [f"  before the step: {cause}" for cause in self.causes[:SHOWN]]
        return "\n".join(lines)


class Uses(NamedTuple):
    """An op that writes a variable, or else the first that reads it, and what it calls it."""

    role: str
    node: Node


def uses(types: Types) -> dict[str, Uses]:
    """Who has to do with each variable."""
    reads: dict[str, Uses] = {}
    writes: dict[str, Uses] = {}
    for node in types.order:
        if node.is_variable or node.op == PICK:
            continue
        op = op_of(node)
        for k, x in enumerate(node.inputs):
            if x.is_variable:
                role = op.inputs[k].name if k < len(op.inputs) else "number"
                reads.setdefault(x.name, Uses(role, node))
                if k in op.state_positions:
                    writes.setdefault(x.name, Uses(role, node))
        for x in node.attrs.get("__out__", ()):
            role = reads[x.name].role if x.name in reads else "output"
            writes.setdefault(x.name, Uses(role, node))
    return {**reads, **writes}


def findings(name: str, role: str, bad: Iterable[Bad], node: Node | None) -> list[Finding]:
    """An array's findings, kind by kind."""
    where = node.where if node is not None else None
    return [Finding(name, role, *each, node.name if node is not None else "", where) for each in bad]


def of_number(name: str, role: str, number: float, node: Node | None) -> list[Finding]:
    """A number's."""
    if math.isfinite(number):
        return []
    what = "nan" if number != number else "inf" if number > 0 else "-inf"
    return findings(name, role, [Bad(what, 1, ())], node)


# ---- of a guarded step


class StepFacts(NamedTuple):
    """What a step knows that a report needs."""

    roots: Sequence[Node]
    types: Types
    program: Program
    memory: Memory
    bound: Mapping[str, Bound]
    known: Mapping[str, Uses]  # of `uses`


def report_of(found: Sequence[Found], facts: StepFacts, changed: bool, late: bool) -> FiniteReport:
    """What a guarded step stored, or would have stored. `changed`: the step was done, so that the inputs it overwrites
    are no longer what they were; `late`: others may be bound by now."""
    ordered = sorted(found, key=lambda f: f.watched.call)
    made: list[Finding] = []
    for watched, bad in ordered:
        name, role = _name_of(watched.key, watched.value, facts)
        made += findings(name, role, bad, watched.node)
    causes = () if late else tuple(_causes(ordered[0].watched.node, facts, changed))
    return FiniteReport(tuple(made), causes)


def error_of(report: FiniteReport, late: bool) -> NonFiniteError:
    """The error of a guard that raises. `late`: the step may not have been the last one."""
    first = report[0]
    at = f" at {list(first.first)}" if first.first else ""
    times = f", {first.count:,} times" if first.count > 1 else ""
    lines = [f"{first.node!r} stored {first.what} in {first.name!r} ({first.role}){at}{times}"]
    names = list(dict.fromkeys(f"{f.name!r}" for f in report if f.name != first.name))
    if names:
        more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
        lines.append(f"also not finite: {', '.join(names[:5])}{more}")
    if report.causes:
        lines += [f"before the step: {cause}" for cause in report.causes[:5]]
    elif not late:
        lines.append("the inputs that the step does not overwrite are finite")
    later = ", and no step after it has written anything" if late else ""
    lines.append(f"that step was done to its end: every array holds what it computed{later}")
    error = NonFiniteError("\n  ".join(lines) + built_at(first.where))
    error.report = report
    return error


def _name_of(key: str | int, value: object, facts: StepFacts) -> tuple[str, str]:
    known = facts.known
    if isinstance(key, str):
        if facts.program.lowered.variables[key].host:
            return key, "number"
        return key, known[key].role if key in known else "output"
    heads = facts.program.lowered.heads
    for root, head in zip(facts.roots, heads, strict=True):
        if head is value or facts.program.storage.get(id(head)) == key:
            return output_name(root), "output"
    written = {id(v): name for name, v in facts.program.lowered.writes.items()}
    name = written[id(value)]  # computed in a buffer and copied at the end
    return name, known[name].role if name in known else "output"


def _causes(node: Node, facts: StepFacts, changed: bool) -> Iterator[Finding]:
    """Inputs of a node, or of the nodes that it reads, that are not finite."""
    for each in toposort([node]):
        if not each.is_variable:
            if each.op != PICK:
                yield from _attributes(each, facts)
            continue
        b = facts.bound[each.name]
        role, reader = facts.known.get(each.name, Uses("input", each))
        if each.name in facts.program.lowered.writes and changed:
            continue
        if facts.program.lowered.variables[each.name].host:
            yield from of_number(each.name, "number", facts.memory.numbers[each.name], reader)
        else:
            yield from findings(each.name, role, scan_bound(b), reader)


def _attributes(node: Node, facts: StepFacts) -> Iterator[Finding]:
    for name in op_of(node).numeric:
        value = facts.memory.overrides.get((id(node), name), node.attrs.get(name))
        if isinstance(value, float) and value != value:
            yield from of_number(name, "attribute", value, node)


def scan_bound(b: Bound) -> tuple[Bad, ...]:
    """What is not finite of a bound array; rows of a sparse one by the numbers they stand for."""
    if b.sparse is not None:
        rows = b.sparse.indices if b.place is HOST else b.place.to_host(b.sparse.indices)
        found = scan(b.sparse.data, b.place)
        return tuple(Bad(what, times, (int(rows[k]), *rest)) for what, times, (k, *rest) in found)
    return scan(b.user_array(), b.place)


def node_of(node: Node) -> Node:
    """The op behind a pick."""
    return origin(node)[0]
