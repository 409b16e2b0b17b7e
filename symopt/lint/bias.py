"""The rule on bias correction: once is enough."""

from __future__ import annotations

from collections.abc import Iterator

from ..expr import PICK, Node, origin
from ..forms import op_of
from ..show.terms import in_order, number_of
from .decay import attributes
from .rule import Case, Hit, at
from .unit import Facts


def bias_corrected_twice(case: Case) -> Iterator[Hit]:
    """A number given to the op already holds 1 - beta**t, which the op's formula divides by as well."""
    corrected: dict[int, bool] = {}
    for unit in case.graph.updates:
        if not unit.symbols or not unit.sketch.ask(_corrects_bias):
            continue
        for name, node in unit.symbols.items():
            if id(node) not in corrected:
                corrected[id(node)] = any(_divides_by_correction(case, n) for n in case.graph.cone(node))
            if corrected[id(node)]:
                yield at(
                    unit, f"{name} holds a bias correction, 1 - beta**t, and the op corrects the bias itself"
                )


def _corrects_bias(facts: Facts) -> bool:
    """Whether 1 - x**y is in the formula, of an attribute and the number of the step."""
    terms = in_order(facts.formula.outputs.values()) if facts.formula else []
    for t in terms:
        if t.op == "sub" and number_of(t.args[0]) == 1:
            power = t.args[1]
            if power.op == "pow" and attributes(power.args[1]):
                return True
    return False


def _divides_by_correction(case: Case, node: Node) -> bool:
    """Whether a node divides by 1 - b**t, or by its root."""
    divisor = _operand(case, node, "div", 1)
    root = divisor and _operand(case, divisor, "sqrt", 0)
    return any(x is not None and not x.is_variable and _is_correction(case, x) for x in (divisor, root))


def _operand(case: Case, node: Node, function: str, index: int) -> Node | None:
    """The input that is operand `index` of an ordinary op that is nothing but this function."""
    op = op_of(node) if not node.is_variable and node.op != PICK else None
    if op is None or op.is_update or op.parts:
        return None
    formula = case.graph.facts(node, op).formula
    t = formula.outputs["output"] if formula else None
    if t is None or t.op != function or t.args[index].op != "input":
        return None
    return dict(zip((i.name for i in op.inputs), node.inputs, strict=False))[str(t.args[index].value)]


def _is_correction(case: Case, node: Node) -> bool:
    """Whether a node of the graph is 1 - b**t, with a number below 1 for b."""
    below = _operand_of_one_minus(case, node)
    if below is None or below.is_variable:
        return False
    made = origin(below)[0]
    op = op_of(made)
    facts = case.graph.facts(made, op)
    if op.is_update or facts.formula is None:
        return False
    t = facts.formula.outputs["output"]
    if t.op != "pow" or t.args[1].op != "input":
        return False
    base = facts.numbers.get(str(t.args[0].value)) if t.args[0].op == "attr" else number_of(t.args[0])
    return t.args[0].op == "input" or (base is not None and 0 < base < 1)


def _operand_of_one_minus(case: Case, node: Node) -> Node | None:
    """The x of a node that is 1 - x."""
    below = _operand(case, node, "sub", 1)
    facts = case.graph.facts(node, op_of(node)) if below is not None else None
    if facts is None or facts.formula is None:
        return None
    first = facts.formula.outputs["output"].args[0]
    value = facts.numbers.get(str(first.value)) if first.op == "attr" else number_of(first)
    return below if value == 1 else None
