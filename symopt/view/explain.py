"""What became of a graph after each pass, and why two nodes run in one kernel or do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..build import kernel_inputs
from ..codegen.text import PER, formula_lines
from ..errors import MissingArgumentError
from ..expr import Node, toposort
from ..passes.ir import LIBRARY, REDUCE, Body, Buffer, Call, Kernel, Param, Program
from ..passes.partition import needs_rows
from ..passes.reasons import Kept
from ..planned import Planned
from .kernels import over
from .plain import counted, named, safe, shape_text, size_text
from .symbols import bytes_of
from .text import Lines, Part, Table, Text
from .why import Answer, Why, node_named

LEAVES = ("load", "scalar", "const", "index", "column", "pair")
MOST = 30  # entries of a list


def explain(planned: Planned, *names: str) -> Text:
    """The graph after each pass; of one node, given by name, what it became; of two, why they are one kernel or not.

    UnknownArgumentError for an unknown name, MissingArgumentError where shapes are not known or names are too many.
    """
    program = planned.needed()
    why = Why(program)
    if not names:
        return Text.of(*_passes(program, why))
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
    lines += [f"  {_call(x)} -> {_call(y)}: {why_not.value}" for x, y, why_not in answer.cuts]
    if answer.culprit is not None:
        lines.append(f"  in question: {_call(answer.culprit)}")
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
        parts.append(f"{', '.join(dict.fromkeys(map(_does, calls)))} over {over_} in launch {k}")
    return [f"  {safe(node.name)}: {'; '.join(parts)}"]


def _uncalled(node: Node, planned: Planned) -> str:
    name = safe(node.name)
    if planned.types.is_host(node):
        return f"{name} is a number of the host: it is known before the kernels start"
    if node.is_variable:
        return f"{name} is a variable: kernels read it, none computes it. Give two op nodes"
    return f"nothing of {name} is computed"


def _does(call: Call) -> str:
    """What a call does, in a word: the op, and of one stage of it the reduction or function."""
    root, op = call.body.roots[0], call.body.op.strip("_")
    return f"{op} ({root.op})" if call.body.mode in (REDUCE, LIBRARY) and root.op != op else op


def _call(call: Call) -> str:
    return f"{safe(call.node.name)} [{_does(call)} over {shape_text(call.domain)}]"


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
    lines += _cuts([(x, y) for x, y in _crossings(why) if node in (x.node, y.node)], why)
    return [*parts, Lines(lines)]


# ---- the passes


def _passes(program: Program, why: Why) -> list[Part]:
    return [
        *_lower(program),
        *_partition(program, why),
        Lines(_schedule(why), heading=True),
        *_plan(program, why),
        Lines(_simplify(program), heading=True),
    ]


def _lower(program: Program) -> list[Part]:
    calls, host = program.lowered.calls, program.lowered.host_calls
    nodes = {id(call.node) for call in calls}
    bodies: dict[int, list[Call]] = {}
    for call in calls:
        bodies.setdefault(id(call.body), []).append(call)
    lines = [f"lower: {_become(len(nodes), 'node', len(calls), 'call')} of {counted(len(bodies), 'formula')}"]
    if host:
        names = named([call.node.name for call in host], 8)
        lines.append(f"  the host computes in float64, before the kernels start: {names}")
    parts: list[Part] = [Lines(lines, heading=True)]
    for alike in bodies.values():
        text = body_text(alike[0].body)
        who = named(list(dict.fromkeys(call.node.name for call in alike)))
        parts.append(Lines([f"{text[0]}, {counted(len(alike), 'call')}: {who}", *text[1:]]))
    return parts


def body_text(body: Body) -> list[str]:
    """A formula before it is merged with others: what it reads and makes, then a line for each value."""
    alone = as_kernel(body)
    arrays = f"  reads {_params(body.params)}; makes {_params(body.outputs)}"
    return [f"formula {body.op}: for {over(alone)}", arrays, *formula_lines(alone)]


def as_kernel(body: Body) -> Kernel:
    """A body by itself, as if it were a kernel."""
    reads = [Buffer(p.name, p.dtype, p.extent, True, False, p.grid) for p in body.params]
    writes = [Buffer(p.name, p.dtype, p.extent, False, True, p.grid) for p in body.outputs]
    stores = tuple((root, len(reads) + k) for k, root in enumerate(body.roots))
    rows = body.mode != REDUCE and needs_rows(body)
    return Kernel(body.op, body.mode, rows, (*reads, *writes), stores, (), (), body.sparse)


def _params(params: Sequence[Param]) -> str:
    """Names of arrays by what they are arrays of: "weight, grad (float32)"."""
    kinds: dict[str, list[str]] = {}
    for p in params:
        kinds.setdefault(p.dtype + PER.get(p.extent, ""), []).append(p.name)
    return ", ".join(f"{', '.join(names)} ({kind})" for kind, names in kinds.items()) or "nothing"


def _partition(program: Program, why: Why) -> list[Part]:
    regions = [instance.region for launch in program.launches for instance in launch.instances]
    kernels = {id(launch.kernel): launch.kernel for launch in program.launches}
    head = (
        f"partition: {counted(len(program.lowered.calls), 'call')} become {counted(len(regions), 'region')}"
    )
    lines = [f"{head} of {counted(len(kernels), 'kind')}, each one pass over memory"]
    for k, launch in enumerate(program.launches):
        calls = Counter(_does(call) for call in launch.instances[0].region.calls)
        parts = ", ".join(f"{n} x {op}" if n > 1 else op for op, n in calls.items())
        times = f", {len(launch.instances):,} times" if len(launch.instances) > 1 else ""
        lines.append(f"  launch {k}: {parts}{times}")
    cuts = _cuts(_crossings(why), why)
    return [
        Lines(lines, heading=True),
        *([Lines(["apart, though one reads the other:", *cuts])] if cuts else []),
    ]


def _crossings(why: Why) -> list[tuple[Call, Call]]:
    """Calls of which the one makes what the other reads, in different kernels."""
    return [
        (made, call)
        for call in why.program.lowered.calls
        for made in why.inputs(call)
        if why.home(made) != why.home(call)
    ]


def _cuts(crossings: Iterable[tuple[Call, Call]], why: Why) -> list[str]:
    """Why the calls of each pair are apart; those of one kind in one line."""
    kinds: dict[tuple[int, int, str], list[tuple[Call, Call]]] = {}
    for made, call in crossings:
        refusal = why.between(made, call)
        reason = refusal.reason.value if refusal else "a value is copied"
        kinds.setdefault((id(made.body), id(call.body), reason), []).append((made, call))
    lines = []
    for (_, _, reason), pairs in kinds.items():
        made, call = pairs[0]
        more = f" (and {len(pairs) - 1:,} more like it)" if len(pairs) > 1 else ""
        lines.append(f"  {_call(made)} -> {_call(call)}{more}: {reason}")
    return _few(lines)


def _schedule(why: Why) -> list[str]:
    levels = why.schedule.levels
    lines = [f"schedule: {counted(len(levels), 'level')}, one after the other"]
    for k, level in enumerate(levels):
        homes = {why.homes[id(call)][0] for r in level for call in r.calls if id(call) in why.homes}
        launches = ", ".join(map(str, sorted(homes))) or "copies"
        lines.append(f"  level {k}: launch {launches}, {counted(len(level), 'region')}")
    names = list(why.schedule.in_place.values())
    if names:
        lines.append(f"  computed in place, over the old value: {named(names, 8)}")
    return lines + _few(_copies(why))


def _copies(why: Why) -> list[str]:
    deferred = {name for _, name in why.schedule.deferred}
    lines: dict[str, list[str]] = {}
    readers: dict[str, list[str]] = {}
    for copied in why.copied:
        if copied.variable in deferred:
            lines.setdefault(copied.reason.value, []).append(copied.variable)
            if copied.reason is Kept.READERS:
                readers.setdefault(copied.reason.value, []).extend(c.node.name for c in copied.readers)
    return [
        f"  computed in a buffer and copied at the end: {named(list(dict.fromkeys(names)), 8)}: {reason}"
        + (f": {named(list(dict.fromkeys(readers[reason])), 8)}" if reason in readers else "")
        for reason, names in lines.items()
    ]


def _plan(program: Program, why: Why) -> list[Part]:
    rows = []
    for k, launch in enumerate(program.launches):
        buffers = launch.kernel.buffers
        reads = [b.name for b in buffers if b.read]
        writes = [b.name for b in buffers if b.write]
        rows.append(
            (str(k), safe(launch.kernel.name), over(launch.kernel), f"{len(launch.instances):,}",
             named(reads, 6), named(writes, 6))
        )  # fmt: skip
    own = counted(len(program.buffers), "buffer")
    head = f"plan: {counted(len(rows), 'launch', 'es')}, {own} of the executor's own"
    table = Table(("launch", "kernel", "for", "tensors", "reads", "writes"), rows)
    return [Lines([head], heading=True), table, *_buffers(program)]


def _buffers(program: Program) -> list[Part]:
    """What each of the executor's own arrays holds, one value after the other."""
    held: dict[int, list[str]] = {}
    for launch in program.launches:
        for instance in launch.instances:
            for value in instance.values:
                key = program.storage.get(id(value.whole))
                if isinstance(key, int):
                    held.setdefault(key, []).append(value.whole.name)
    lines = []
    for number, (dtype, shape) in enumerate(program.buffers):
        names = named(list(dict.fromkeys(held.get(number, ()))), 6)
        size = size_text(bytes_of(shape, dtype))
        lines.append(f"  buffer {number}: {dtype} {shape_text(shape)}, {size}, holds {names}")
    return [Lines(_few(lines))] if lines else []


def _simplify(program: Program) -> list[str]:
    """Primitives of the formulas as they were written, and of the kernels made of them."""
    lines = ["simplify: primitives of the formulas -> of the kernel, by rules that keep every bit"]
    kernels = {id(launch.kernel): launch for launch in program.launches}
    for launch in kernels.values():
        calls = launch.instances[0].region.calls
        before = sum((_primitives(call.body.roots) for call in calls), Counter())
        after = _primitives([root for root, _ in launch.kernel.stores])
        arrays = sum(len(call.body.params) + len(call.body.outputs) for call in calls)
        left = sum(buffer.read + buffer.write for buffer in launch.kernel.buffers)
        fewer, more = before - after, after - before
        changes = [f"{n} {op} fewer" for op, n in fewer.items()] + [
            f"{n} {op} more" for op, n in more.items()
        ]
        lines.append(
            f"  {safe(launch.kernel.name)}: {before.total()} -> {after.total()}"
            f"{' (' + ', '.join(changes) + ')' if changes else ''}; arrays read or written: {arrays} -> {left}"
        )
    return lines


def _primitives(roots: Sequence[Node]) -> Counter[str]:
    """How many primitives of each name run in the kernel; numbers and arrays are none."""
    return Counter(node.op for node in toposort(roots, kernel_inputs) if node.op not in LEAVES)


def _become(n: int, what: str, m: int, other: str) -> str:
    return f"{counted(n, what)} {'becomes' if n == 1 else 'become'} {counted(m, other)}"


def _few(lines: list[str]) -> list[str]:
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], f"  ... and {more:,} more"]
