"""Rules on what comes before what, and what is done twice: clips, sums, decay, bias correction."""

from __future__ import annotations

from collections.abc import Iterator

from ..expr import PICK, Node, origin
from ..forms import op_of
from ..show.terms import Term, in_order, number_of
from .decay import attributes, decays, leaves
from .rule import Case, Hit, at
from .unit import Facts, Unit

NORMS = ("norm", "row_norm", "matrix_norm")
FOLDS = ("sum", "mean", "row_sum", "row_mean")


# ---- a clip before a sum


def clip_before_sum(case: Case) -> Iterator[Hit]:
    """Gradients are clipped one by one and then added up: the sum may exceed the bound, and is not the clipped sum."""
    told: set[int] = set()
    for node in case.graph.ordinary:
        for variable in node.attrs.get("__out__", ()):
            parts = case.flow.parts(node)
            old = [p for p in parts if p.node is variable and p.factor == 1 and not p.clipped]
            # A step that is clipped has a negative factor, or one that is not known.
            if old and any(p.clipped and p.node is not variable and p.factor > 0 for p in parts):
                told.add(id(node))
                yield Hit(
                    node, node.name, "what is added up was clipped before the sum, which may exceed the bound"
                )
    for unit in case.graph.updates:
        for name in unit.facts.grads:
            made = unit.inputs[name]
            clipped = {id(p.node) for p in case.flow.parts(made) if p.clipped}
            if len(clipped) > 1 and not _one_clip(case, made) and id(made) not in told:
                told.add(id(made))
                text = f"{name} is a sum of values that were clipped one by one, which may exceed the bound"
                yield at(unit, text, clipped=len(clipped))


def _one_clip(case: Case, node: Node) -> bool:
    """Whether one clip bounds the whole sum, and not each part: then all that it adds up is clipped by one node."""
    while not node.is_variable and node.op != PICK:
        arrays = [x for x in node.inputs if not case.graph.is_scalar(x)]
        if len(arrays) != 1:
            return False
        if not any(p.clipped for p in case.flow.parts(arrays[0])):
            return True
        node = arrays[0]
    return False


# ---- decay


def decay_twice(case: Case) -> Iterator[Hit]:
    """The weight is shrunk in two places."""
    for unit in case.graph.updates:
        facts = unit.facts
        own = [n for n in case.alike(decays, facts) if n in facts.numbers]
        if not own:
            continue
        said = [n for n in own if n in facts.given]
        places = [f"{name} = {facts.numbers[name]:g}" for name in said if len(said) > 1]
        places = places or [f"{own[0]} = {facts.numbers[own[0]]:g}"]
        places += _decay_by_hand(case, unit)
        if len(places) > 1:
            yield at(unit, f"the weight decays twice: {' and '.join(places)}", places=tuple(places))


def _decay_by_hand(case: Case, unit: Unit) -> Iterator[str]:
    """Where else in the graph a multiple of the weight is added to it or to its gradient."""
    weight, variable = unit.weight, _variable(case, unit.weight)
    if variable is None:
        return
    for name in unit.facts.grads:
        parts = case.flow.parts(unit.inputs[name])
        if len(parts) > 1 and any(p.node is variable and p.factor != 0 for p in parts):
            yield f"a multiple of the weight is added to {name}"
    if weight is not variable:
        yield "the weight it is given was scaled before"
    for reader in case.graph.read.get((id(unit.node), unit.result), ()):
        if op_of(reader).is_update or not any(v is variable for v in reader.attrs.get("__out__", ())):
            continue
        after = case.flow.parts(reader)
        new = [p for p in after if origin(p.node) == (unit.node, unit.result)]
        if len(new) == 1 and (
            _less(new[0].factor) or any(p.node is variable and _less(p.factor) for p in after)
        ):
            yield "the new weight is shrunk once more"


def _less(factor: float) -> bool:
    """Whether a factor known makes smaller: of a new weight, below 1; of an old one that is added, below 0."""
    return factor < 0 or (0.9 <= factor < 1)


def _variable(case: Case, weight: Node) -> Node | None:
    """The variable that an op's weight is, or a multiple of it."""
    if weight.is_variable:
        return weight
    parts = case.flow.parts(weight)
    if parts and all(p.node is parts[0].node for p in parts) and parts[0].node.is_variable:
        return parts[0].node
    return None


def decay_in_and_out_of_the_clip(case: Case) -> Iterator[Hit]:
    """One op of the graph clips the gradient with the decay in it, another without."""
    inside: list[Unit] = []
    outside = False
    for unit in case.graph.updates:
        kind = case.alike(_decay_and_clip, unit.facts)
        if kind == "inside":
            inside.append(unit)
        outside = outside or kind == "outside"
    if outside:
        for unit in inside:
            yield at(unit, "the decay is inside the clip here, and outside in other ops of this graph")


def _decay_and_clip(facts: Facts) -> str:
    """Where the decay is added to the gradient: "inside" the clip, "outside", or "" if there are not both."""
    if facts.formula is None or not any(n in facts.numbers for n in decays(facts)):
        return ""
    for t in in_order(facts.formula.outputs.values()):
        if t.op == "clip" and facts.weight in leaves(t) and leaves(t) & set(facts.grads):
            return "inside"
        if t.op == "add" and any(
            _is_clipped_gradient(x, facts) and leaves(y) == {facts.weight} for x, y in (t.args, t.args[::-1])
        ):
            return "outside"
    return ""


def _is_clipped_gradient(t: Term, facts: Facts) -> bool:
    return t.op == "clip" and bool(leaves(t)) and leaves(t) <= set(facts.grads)


# ---- two clips


def two_clips(case: Case) -> Iterator[Hit]:
    """A gradient is scaled by its norm, and clipped element by element as well."""
    norms: dict[int, frozenset[int]] = {}
    for unit in case.graph.updates:
        if not case.alike(_has_clip, unit.facts):
            continue
        grads = [unit.inputs[name] for name in unit.facts.grads]
        sources = {id(v) for g in grads for v in _variables(case, g)}
        numbers = [unit.symbols[n] for n in case.alike(_factors, unit.facts) if n in unit.symbols]
        numbers += [x for name, x in unit.inputs.items() if name not in unit.facts.grads and _made(x)]
        made = [x for x in grads if _made(x)]
        for node in (*numbers, *made):
            if id(node) not in norms:
                norms[id(node)] = _normed(case, node)
            if norms[id(node)] & sources:
                yield at(unit, "the gradient is scaled by its norm, and then clipped element by element")
                break


def _made(node: Node) -> bool:
    return not node.is_variable and origin(node)[1] == 0 and not op_of(origin(node)[0]).is_update


def _variables(case: Case, node: Node) -> list[Node]:
    """The arrays that a gradient is made of, element by element."""
    if node.is_variable:
        return [node]
    found = [x for n in case.graph.cone(node) for x in n.inputs]
    return [x for x in found if x.is_variable and not case.graph.is_scalar(x)]


def _has_clip(facts: Facts) -> bool:
    """Whether the formula bounds a gradient element by element, with a clip that is known to be on."""
    on = {n for n, a in facts.op.attrs.items() if a.switch and facts.numbers.get(n, -1) >= 0}
    if not on or facts.formula is None:
        return False
    return any(
        t.op == "clip" and attributes(t.args[1]) & on and leaves(t.args[0]) & set(facts.grads)
        for t in in_order(facts.formula.outputs.values())
    )


def _factors(facts: Facts) -> frozenset[str]:
    """The attributes inside the clip: what the gradient is multiplied by before it."""
    if facts.formula is None:
        return frozenset()
    clips = [t.args[0] for t in in_order(facts.formula.outputs.values()) if t.op == "clip"]
    return frozenset(name for t in clips if leaves(t) & set(facts.grads) for name in attributes(t))


def _normed(case: Case, node: Node) -> frozenset[int]:
    """The variables whose norm a number is made from."""
    found: set[int] = set()
    for made in case.graph.cone(node):
        op = op_of(made)
        if not op.is_update and case.alike(
            _is_norm, case.graph.facts(made, op.parts[0].op if op.parts else op)
        ):
            found.update(id(v) for x in made.inputs for v in _variables(case, x))
    return frozenset(found)


def _is_norm(facts: Facts) -> bool:
    """Whether the formula sums up squares or magnitudes, or takes the largest."""
    terms = in_order(facts.formula.outputs.values()) if facts.formula else []
    for t in terms:
        if t.op in NORMS:
            return True
        folds = t.op in FOLDS or (t.op == "max" and len(t.args) == 1)
        if folds and t.args[0].op in ("square", "abs"):
            return True
    return False


# ---- bias correction


def bias_corrected_twice(case: Case) -> Iterator[Hit]:
    """A number given to the op already holds 1 - beta**t, which the op's formula divides by as well."""
    corrected: dict[int, bool] = {}
    for unit in case.graph.updates:
        if not unit.symbols or not case.alike(_corrects_bias, unit.facts):
            continue
        for name, node in unit.symbols.items():
            if id(node) not in corrected:
                corrected[id(node)] = any(_is_correction(case, n) for n in case.graph.cone(node))
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
    op = op_of(node)
    facts = case.graph.facts(node, op)
    if op.is_update or op.parts or facts.formula is None:
        return None
    t = facts.formula.outputs["output"]
    if t.op != "sub" or t.args[1].op != "input":
        return None
    first = facts.numbers.get(str(t.args[0].value)) if t.args[0].op == "attr" else number_of(t.args[0])
    index = next(k for k, i in enumerate(op.inputs) if i.name == t.args[1].value)
    return node.inputs[index] if first == 1 else None
