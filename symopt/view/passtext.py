"""The passes as text: what a graph is after each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..build import kernel_inputs
from ..codegen.text import PER, formula_lines
from ..expr import Node, toposort
from ..passes.ir import LIBRARY, REDUCE, Body, Buffer, Call, Kernel, Param, Program
from ..passes.partition import needs_rows
from ..passes.reasons import Kept
from .kernels import over
from .plain import counted, named, safe, shape_text, size_text
from .symbols import bytes_of
from .text import Lines, Part, Table
from .why import Why

LEAVES = ("load", "scalar", "const", "index", "column", "touched", "pair")
MOST = 30  # entries of a list


def passes(program: Program, why: Why) -> list[Part]:
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
    head = f"partition: {_become(len(program.lowered.calls), 'call', len(regions), 'region')}"
    lines = [f"{head} of {counted(len(kernels), 'kind')}, each one pass over memory"]
    for k, launch in enumerate(program.launches):
        calls = Counter(does(call) for call in launch.instances[0].region.calls)
        parts = ", ".join(f"{n} x {op}" if n > 1 else op for op, n in calls.items())
        times = f", {len(launch.instances):,} times" if len(launch.instances) > 1 else ""
        lines.append(f"  launch {k}: {parts}{times}")
    apart = cuts(crossings(why), why)
    return [
        Lines(lines, heading=True),
        *([Lines(["apart, though one reads the other:", *apart])] if apart else []),
    ]


def crossings(why: Why) -> list[tuple[Call, Call]]:
    """Calls of which the one makes what the other reads, in different kernels."""
    return [
        (made, call)
        for call in why.program.lowered.calls
        for made in why.inputs(call)
        if why.home(made) != why.home(call)
    ]


def cuts(crossings: Iterable[tuple[Call, Call]], why: Why) -> list[str]:
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
        lines.append(f"  {call_name(made)} -> {call_name(call)}{more}: {reason}")
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
    lines = ["merge and simplify: primitives of the formulas -> of the kernel, by rules that keep every bit"]
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


# ---- calls


def does(call: Call) -> str:
    """What a call does, in a word: the op, and of one stage of it the reduction or function."""
    root, op = call.body.roots[0], call.body.op.strip("_")
    return f"{op} ({root.op})" if call.body.mode in (REDUCE, LIBRARY) and root.op != op else op


def call_name(call: Call) -> str:
    return f"{safe(call.node.name)} [{does(call)} over {shape_text(call.domain)}]"
