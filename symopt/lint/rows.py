"""Rules on row_sparse gradients: which rows a step reads and writes, and which it leaves as they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..dtypes import ITEMSIZE
from ..expr import Extent, Node
from ..forms import op_of
from ..passes.traffic import Listed, bytes_moved
from ..planned import Planned, plan_graph
from ..shapes import reach
from ..view.plain import size_text
from .decay import decays, leaves, moves_at_rest
from .rule import Case, Hit, at
from .unit import Facts, Unit

HUGE = 10_000_000  # bytes moved in a step, from which on it matters
TIMES = 10  # more than listed rows would take


def reads_every_row(case: Case) -> Iterator[Hit]:
    """A gradient of few rows, and an update that reads and writes the whole table."""
    told: dict[tuple[object, ...], tuple[int, int]] = {}
    for unit in case.graph.updates:
        grad = _sparse(case, unit)
        if grad is None or not unit.sketch.ask(_could_be_lazy) or unit.facts.structural["lazy_update"]:
            continue
        shapes = tuple(case.graph.types.shape(x) for x in unit.inputs.values())
        dtypes = tuple(case.graph.dtype(x) for x in unit.inputs.values())
        listed = _listed(case, unit.inputs[grad])
        if not listed.distinct or any(s is None or -1 in s for s in shapes):
            continue
        key = (id(unit.facts), shapes, dtypes, listed)
        if key not in told:
            told[key] = (_traffic(case, unit, grad, listed, False), _traffic(case, unit, grad, listed, True))
        whole, some = told[key]
        n_rows = shapes[0][0] if shapes[0] else 1
        if whole >= HUGE and whole >= TIMES * some:
            text = f"the gradient lists {listed.distinct:,} of {n_rows:,} rows, and the step moves "
            text += f"{whole / some:,.0f} times the bytes that those need ({size_text(whole)}, not {size_text(some)})"
            yield at(unit, text, ratio=whole / some, bytes=whole, bytes_lazy=some, rows=listed.distinct)


def _sparse(case: Case, unit: Unit) -> str | None:
    """The gradient that is row_sparse, if one is."""
    return next((n for n in unit.facts.grads if case.graph.types.stype(unit.inputs[n]) == "row_sparse"), None)


def _could_be_lazy(facts: Facts) -> bool:
    """Whether the formula can run on the listed rows alone: it looks at no more than a row, and nothing is said to
    follow the dense formula."""
    return not facts.op.standard and reach(facts.op, facts.settings) != Extent.TENSOR


def _listed(case: Case, grad: Node) -> Listed:
    """Which rows a gradient lists; none if that is not known."""
    planned = case.graph.planned
    count = max(planned.listed.get(grad.name, 0), 0)
    return planned.gradients.get(grad.name) or Listed(count, count)


def _traffic(case: Case, unit: Unit, grad: str, listed: Listed, lazy: bool) -> int:
    """Bytes that a step of this op alone moves, in place, lazily or not."""
    op, types = unit.facts.op, case.graph.types
    variables = {name: Node("null", name=name) for name in unit.inputs}
    attrs = {n: v for n, v in unit.facts.structural.items() if n in op.attrs} | {"lazy_update": lazy}
    attrs |= {n: unit.facts.numbers.get(n, 1.0) for n in op.numeric}
    if not attrs.get("kahan"):
        attrs.pop("kahan", None)
    attrs["__out__"] = (next(iter(variables.values())),)
    node = Node(op.name, tuple(variables.values()), attrs, "update")
    planned = plan_graph(
        [node],
        {name: types.shape(x) for name, x in unit.inputs.items()},
        {name: dtype for name, x in unit.inputs.items() if (dtype := types.dtype(x))},
        {grad: "row_sparse"},
        {grad: listed.entries},
    )
    return traffic(replace(planned, gradients={grad: listed}))


def traffic(planned: Planned) -> int:
    """Bytes that a step moves."""
    return sum(
        bytes_moved(launch.kernel, i.domain, planned.rows_of(launch.kernel, i))
        for launch in planned.needed().launches
        for i in launch.instances
    )


def old_states_in_other_rows(case: Case) -> Iterator[Hit]:
    """Rows that no gradient lists keep their states, which a step without gradient would change."""
    for unit, facts in _lazy_unsaid(case):
        states = facts.sketch.ask(_stale)
        if states:
            text = f"{', '.join(states)} of rows that the gradient does not list stay as they are, and would change "
            yield at(unit, text + "in a dense step: lazy_update is on by default", states=states)


def _lazy_unsaid(case: Case) -> Iterator[tuple[Unit, Facts]]:
    """Units that update listed rows only although nobody wrote lazy_update."""
    for unit in case.graph.updates:
        facts = unit.facts
        if "lazy_update" in facts.given or not facts.structural.get("lazy_update") or facts.op.standard:
            continue
        if _sparse(case, unit) is not None and facts.sketch.ask(_could_be_lazy):
            yield unit, facts


def _stale(facts: Facts) -> tuple[str, ...]:
    """The states that change without a gradient, if the weight depends on them. None where the formula counts the steps
    of each row: it is made for rows that come now and then."""
    kinds = {i.name: i.kind for i in facts.op.inputs}
    if facts.formula is None:
        return ()
    moved = [s for s in facts.states if moves_at_rest(facts, s)]
    if any(kinds[s] == "row_state" for s in moved):
        return ()
    return tuple(s for s in moved if any(s in leaves(t) for t in facts.formula.outputs.values()))


def no_decay_in_other_rows(case: Case) -> Iterator[Hit]:
    """Weight decay acts in the rows that a gradient lists, and in no others."""
    for unit, facts in _lazy_unsaid(case):
        names = [n for n in facts.sketch.ask(decays) if n in facts.numbers and n in facts.given]
        if names:
            shown = ", ".join(f"{n} = {facts.numbers[n]:g}" for n in names)
            text = f"{shown} acts only in the rows that the gradient lists: lazy_update is on by default"
            yield at(unit, text, attributes=tuple(names))


def made_dense(case: Case) -> Iterator[Hit]:
    """A gradient of few rows is written out with all its zeros, because an op reads it that has no rows."""
    told: set[int] = set()
    for node in case.graph.ops:
        for x in node.inputs:
            if id(x) in told or case.graph.types.stype(x) != "row_sparse" or not _spreads(node):
                continue
            shape, listed = case.graph.types.shape(x), _listed(case, x).distinct
            if not shape or -1 in shape or not listed:
                continue
            size = ITEMSIZE[case.graph.dtype(x) or "float32"]
            for n in shape:
                size *= n
            if size >= HUGE and shape[0] >= TIMES * listed:
                told.add(id(x))
                text = f"reads a gradient of {listed:,} rows as a dense array of {shape[0]:,}: {size_text(size)} are "
                text += "written and read at every step"
                yield Hit(node, node.name, text, {"bytes": size, "rows": listed})


def _spreads(node: Node) -> bool:
    """Whether an op takes a row_sparse input as a dense one."""
    op = op_of(node)
    one = op.parts[0].op if op.parts else op
    if not op.is_update:
        return True
    flags = tuple((n, node.attrs.get(n, one.attrs[n].default)) for n in one.structural)
    return reach(one, flags) == Extent.TENSOR
