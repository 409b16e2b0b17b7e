"""What became of a graph after each pass, and why two nodes run in one kernel or do not."""

from __future__ import annotations

from ..errors import MissingArgumentError
from ..expr import Node
from ..passes.ir import Call
from ..planned import Planned
from .passtext import body_text, call_name, crossings, cuts, does, passes
from .plain import counted, named, safe, shape_text
from .text import Lines, Part, Text
from .why import Answer, Why, node_named


def explain(planned: Planned, *names: str) -> Text:
    """The graph after each pass; of one node, given by name, what it became; of two, why they are one kernel or not.

    UnknownArgumentError for an unknown name, MissingArgumentError where shapes are not known or names are too many.
    """
    program = planned.needed()
    why = Why(program)
    if not names:
        return Text.of(*passes(program, why))
    if len(names) > 2:
        raise MissingArgumentError(f"explain takes no, one or two names of nodes, got {len(names)}")
    nodes = [node_named(planned, name) for name in names]
    if len(nodes) == 1:
        return Text.of(*_one(nodes[0], planned, why))
    return Text.of(Lines(_two(nodes[0], nodes[1], planned, why)))


# ---- two nodes


def _two(a: Node, b: Node, planned: Planned, why: Why) -> list[str]:
    for node in (a, b):
        if not why.calls_of(node):
            return [_uncalled(node, planned)]
    if a is b:
        return [f"{safe(a.name)} is one node", *_where(a, why)]
    return _said(a, b, why.answer(a, b), why)


def _said(a: Node, b: Node, answer: Answer, why: Why) -> list[str]:
    both = f"{safe(a.name)} and {safe(b.name)}"
    if answer.together:
        launches = ", ".join(str(k) for k in sorted({k for k, _ in answer.together}))
        head = f"{both} run in one kernel, one pass over memory: launch {launches}"
        return [head, *_where(a, why), *_where(b, why)]
    assert answer.reason is not None
    lines = [f"{both} do not run as one kernel: {answer.reason.value}"]
    lines += [f"  {call_name(x)} -> {call_name(y)}: {why_not.value}" for x, y, why_not in answer.cuts]
    if answer.culprit is not None:
        lines.append(f"  in question: {call_name(answer.culprit)}")
    if answer.beside:
        numbers = ", ".join(map(str, answer.beside))
        lines.append(f"  launch {numbers} runs its kernel on both in one call, each on its own arrays")
    return [*lines, *_where(a, why), *_where(b, why)]


def _where(node: Node, why: Why) -> list[str]:
    """Which launches compute a node."""
    found: dict[int, list[Call]] = {}
    for call in why.calls_of(node):
        found.setdefault(why.home(call)[0], []).append(call)
    parts = []
    for k, calls in sorted(found.items()):
        shapes = list(dict.fromkeys(shape_text(call.domain) for call in calls))
        over_ = shapes[0] if len(shapes) == 1 else counted(len(shapes), "shape")
        parts.append(f"{', '.join(dict.fromkeys(map(does, calls)))} over {over_} in launch {k}")
    return [f"  {safe(node.name)}: {'; '.join(parts)}"]


def _uncalled(node: Node, planned: Planned) -> str:
    name = safe(node.name)
    if planned.types.is_host(node):
        return f"{name} is a number of the host: it is known before the kernels start"
    if node.is_variable:
        return f"{name} is a variable: kernels read it, none computes it. Give two op nodes"
    return f"nothing of {name} is computed"


# ---- one node


def _one(node: Node, planned: Planned, why: Why) -> list[Part]:
    if not why.calls_of(node):
        return [Lines([_uncalled(node, planned)])]
    calls = why.calls_of(node)
    head = f"{safe(node.name)} = {safe(node.op)} becomes {counted(len(calls), 'call')}"
    parts: list[Part] = [Lines([head, *_where(node, why)], heading=True)]
    for body in {id(c.body): c.body for c in calls}.values():
        parts.append(Lines(body_text(body)))
    homes = {why.home(call) for call in calls}
    fellows = [c.node.name for c in why.program.lowered.calls if why.home(c) in homes and c.node is not node]
    lines = [f"in one kernel with: {named(list(dict.fromkeys(fellows)), 8) or 'no other node'}"]
    lines += cuts([(x, y) for x, y in crossings(why) if node in (x.node, y.node)], why)
    return [*parts, Lines(lines)]
