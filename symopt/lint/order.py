"""Rules on what comes before what, and what is done twice: clips, sums, decay, bias correction."""

from __future__ import annotations

from collections.abc import Iterator

from ..expr import PICK, Node, origin
from ..forms import op_of
from ..show.terms import Term, in_order
from .decay import attributes, decays, leaves
from .flow import Part
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
        own = [n for n in facts.sketch.ask(decays) if n in facts.numbers]
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
    variable = _variable(case, unit.weight)
    if variable is None:
        return
    for name in unit.facts.grads:
        if _pulls_to_zero(case.flow.parts(unit.inputs[name]), variable):
            yield f"a multiple of the weight is added to {name}"
    if any(p.factor != 1 for p in case.flow.parts(unit.weight)):
        yield "the weight it is given was scaled before"
    for reader in case.graph.read.get((id(unit.node), unit.result), ()):
        if op_of(reader).is_update or not any(v is variable for v in reader.attrs.get("__out__", ())):
            continue
        after = case.flow.parts(reader)
        known = all(p.node is variable or origin(p.node) == (unit.node, unit.result) for p in after)
        if known and 0.5 < sum(p.factor for p in after) < 1:
            yield "the new weight is shrunk once more"


def _pulls_to_zero(parts: tuple[Part, ...], weight: Node) -> bool:
    """Whether a multiple of the weight is among what makes a gradient, and not its distance from something else."""
    own = [p.factor for p in parts if p.node is weight]
    others = [p.factor for p in parts if p.node is not weight]
    return bool(others) and any(f > 0 and -f not in others for f in own)


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
        shrinks = any(n in unit.facts.numbers for n in unit.sketch.ask(decays))
        kind = unit.sketch.ask(_decay_and_clip) if shrinks else ""
        if kind == "inside":
            inside.append(unit)
        outside = outside or kind == "outside"
    if outside:
        for unit in inside:
            yield at(unit, "the decay is inside the clip here, and outside in other ops of this graph")


def _decay_and_clip(facts: Facts) -> str:
    """Where the decay is added to the gradient: "inside" the clip, "outside", or "" if there are not both."""
    if facts.formula is None:
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
        if not unit.sketch.ask(_has_clip):
            continue
        grads = [unit.inputs[name] for name in unit.facts.grads]
        sources = {id(v) for g in grads for v in _variables(case, g)}
        numbers = [unit.symbols[n] for n in unit.sketch.ask(_factors) if n in unit.symbols]
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
    on = {n for n, is_on in facts.switches if is_on}
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
        if not op.is_update and case.graph.facts(made, op.parts[0].op if op.parts else op).sketch.ask(
            _is_norm
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
