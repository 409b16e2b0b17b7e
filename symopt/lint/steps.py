"""Rules on what a step reads and writes: values that are lost, skipped, old, or the same at every step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..attrs import REQUIRED
from ..expr import PICK, Node, origin
from ..forms import op_of
from .rule import Case, Hit, at
from .unit import Facts, Unit


def result_lost(case: Case) -> Iterator[Hit]:
    """A new weight is neither stored, nor read, nor an output of the graph, while the states go on."""
    for unit in case.graph.updates:
        key = (id(unit.node), unit.result)
        if (
            unit.facts.states
            and not _out(unit)
            and key not in case.graph.read
            and key not in case.graph.heads
        ):
            states = ", ".join(unit.facts.states)
            text = (
                f"the new {unit.facts.op.gives} is not stored, not read and no output, while the op advances "
            )
            yield at(unit, text + states)


def _out(unit: Unit) -> Node | None:
    """The variable that a unit's result is written into."""
    outs = unit.node.attrs.get("__out__", ())
    return outs[unit.result] if unit.result < len(outs) else None


def states_not_skipped(case: Case) -> Iterator[Hit]:
    """The weight is kept on a condition, and the states are not."""
    for unit in case.graph.updates:
        if _out(unit) is not None or not unit.facts.states or not unit.weight.is_variable:
            continue
        for reader in case.graph.read.get((id(unit.node), unit.result), ()):
            if not _keeps(case, reader, unit):
                continue
            loose = [s for s in unit.facts.states if not _is_stored_elsewhere(case, unit, s)]
            if loose:
                text = "the new weight is kept or dropped on a condition, and the op advances "
                yield at(unit, f"{text}{', '.join(loose)} all the same", states=tuple(loose))
                break


def _keeps(case: Case, node: Node, unit: Unit) -> bool:
    """Whether an op stores the new weight or leaves the old one, on a condition."""
    op = op_of(node)
    if op.is_update or not any(out is unit.weight for out in node.attrs.get("__out__", ())):
        return False
    formula = case.graph.facts(node, op).formula
    t = formula.outputs["output"] if formula else None
    if t is None or t.op != "where" or any(x.op != "input" for x in t.args[1:]):
        return False
    inputs = dict(zip((i.name for i in op.inputs), node.inputs, strict=False))
    made = [inputs[str(x.value)] for x in t.args[1:]]
    return any(x is unit.weight for x in made) and any(origin(x) == (unit.node, unit.result) for x in made)


def _is_stored_elsewhere(case: Case, unit: Unit, state: str) -> bool:
    """Whether another op writes the variable of a state: what it holds in the end is that op's."""
    variable = origin(unit.inputs[state])[0]
    return id(variable) in case.graph.written or case.graph.advanced.get(id(variable)) is not unit.node


def one_array_twice(case: Case) -> Iterator[Hit]:
    """One variable is given for two inputs of an update op."""
    shapes = case.graph.types.shape
    for unit in case.graph.updates:
        names: dict[int, str] = {}
        for name, node in unit.inputs.items():
            if case.graph.is_scalar(node) and shapes(node) != shapes(unit.weight):
                continue
            first = names.setdefault(id(origin(node)[0]) if node.op != PICK else id(node), name)
            if first != name:
                yield at(unit, f"one array is given both as {first} and as {name}", inputs=(first, name))
                break


def average_of_the_old(case: Case) -> Iterator[Hit]:
    """A running average takes in a variable's old value in the very step that writes a new one."""
    for node in case.graph.ordinary:
        for variable in node.attrs.get("__out__", ()):
            parts = case.flow.parts(node)
            old = [p for p in parts if p.node is variable]
            if len(parts) != 2 or len(old) != 1 or not 0 < old[0].factor < 1:
                continue
            (new,) = (p for p in parts if p.node is not variable)
            stored = case.graph.written.get(id(new.node))
            if new.node.is_variable and stored is not None and np.isclose(new.factor, 1 - old[0].factor):
                text = "the average takes in the value that the variable had before this step, which updates it: "
                yield Hit(node, node.name, text + "it lags a step behind", {"kept": old[0].factor})


def constant_step(case: Case) -> Iterator[Hit]:
    """The number of the step is a constant, so the formula takes every step for that one."""
    for unit in case.graph.updates:
        for name in unit.sketch.ask(_step_numbers):
            if name in unit.facts.numbers and not case.graph.is_set(unit, name):
                text = f"{name} = {unit.facts.numbers[name]:g} at every step: give a Symbol that counts them"
                yield at(unit, text, value=unit.facts.numbers[name])


def _step_numbers(facts: Facts) -> tuple[str, ...]:
    """The attributes that must be given, change from step to step, and that the formula reads."""
    if facts.formula is None:
        return ()
    read = {name for kind, name in facts.formula.leaves if kind == "attr"}
    names = [n for n, a in facts.op.attrs.items() if a.kind == "integer" and a.default is REQUIRED]
    return tuple(n for n in names if n in read or facts.numbers.get(n) in (0, 1))


def step_zero(case: Case) -> Iterator[Hit]:
    """The bias correction of step 0 divides by zero."""
    known: dict[int, float | None] = {}
    for unit in case.graph.updates:
        for name in unit.sketch.ask(_counts_from_one):
            value = unit.facts.numbers.get(name)
            if name in unit.symbols:
                value = number(case, unit.symbols[name], known)
            if value == 0:
                yield at(
                    unit,
                    f"{name} is 0, where the formula divides by zero, as by 1 - beta**0: steps count from 1",
                )


def _counts_from_one(facts: Facts) -> tuple[str, ...]:
    """The attributes that must not be 0: numbers of steps, by which or by whose powers the formula divides."""
    found: dict[str, None] = {}
    for name, attr in facts.op.attrs.items():
        if attr.kind == "integer" and _fails_at_zero(facts, name):
            found[name] = None
    return tuple(found)


def _fails_at_zero(facts: Facts, name: str) -> bool:
    """Whether something is not finite at step 0, and finite at step 1, where nothing else is out of order."""
    now = facts.at({name: np.array([0.0, 1.0])})
    if now is None:
        return False
    return any(list(np.isfinite(np.broadcast_to(x, 2))) == [False, True] for x in now.values())


def number(case: Case, node: Node, known: dict[int, float | None]) -> float | None:
    """What a number of the host is in the next step, if that follows from numbers that the steps themselves store."""
    if id(node) not in known:
        known[id(node)] = _number(case, node, known)
    return known[id(node)]


def _number(case: Case, node: Node, known: dict[int, float | None]) -> float | None:
    graph = case.graph
    if not graph.types.is_host(node) or node.op == PICK:
        return None
    if node.is_variable:
        counts = id(node) in graph.written
        return graph.memory.numbers.get(node.name) if counts and graph.memory is not None else None
    op = op_of(node)
    inputs = {i.name: number(case, x, known) for i, x in zip(op.inputs, node.inputs, strict=False)}
    facts = graph.facts(node, op)
    if None in inputs.values() or facts.symbols or facts.probe is None:
        return None
    found = facts.at(None, **inputs)
    return None if found is None else float(found["output"])
