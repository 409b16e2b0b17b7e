"""Rules on 16-bit arrays: what they cannot hold, and what rounding them to nearest loses."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..dtypes import COMPUTE, NARROW, component
from ..show.terms import in_order
from .decay import kept, leaves
from .numbers import RATE
from .rule import Case, Hit, at
from .unit import LATE, Facts, Unit, attributes_of

BITS = {"float16": 11, "bfloat16": 8}  # of the significand, the hidden one included
SMALLEST = {
    "float16": 2.0**-14,
    "bfloat16": 2.0**-126,
    "float32": 2.0**-126,
    "float64": 2.0**-1022,
}  # normal numbers
ORDINARY = 2.0**-7  # a weight that a step should be able to change
STEPS = 40  # with the same gradient: by then the length of a step has settled, if it ever does


def epsilon_underflows(case: Case) -> Iterator[Hit]:
    """A number added to a value of a state is smaller than the least that the state's dtype holds."""
    for unit in case.graph.updates:
        for name, states in unit.sketch.ask(_added):
            value = unit.facts.numbers.get(name, 0.0)
            dtype = _narrowest(case, unit, states)
            if dtype and 0 < value < SMALLEST[dtype]:
                text = f"{name} = {value:g} is below {SMALLEST[dtype]:.2g}, the least normal number of {dtype}, which "
                if dtype in NARROW:
                    text += f"{', '.join(states)} is kept in: where it underflows to 0, {name} is all that divides"
                else:
                    text += "the step is computed in: it is lost"
                yield at(unit, text, value=value, dtype=dtype)


def _added(facts: Facts) -> list[tuple[str, tuple[str, ...]]]:
    """Numbers that the formula adds to a value made of states, as they are, before it divides by that; those states."""
    found: dict[str, tuple[str, ...]] = {}
    divisors = [
        t.args[1] for t in in_order(facts.formula.outputs.values() if facts.formula else ()) if t.op == "div"
    ]
    for t in in_order(divisors):
        for x, y in (t.args, t.args[::-1]) if t.op == "add" else ():
            states = tuple(s for s in facts.states if s in leaves(y))
            if x.op == "attr" and states:
                found.setdefault(str(x.value), states)
    return list(found.items())


def _narrowest(case: Case, unit: Unit, states: tuple[str, ...]) -> str:
    """The dtype of those states, or that of the computation, that holds the least; "" if one is not known."""
    stored = [component(case.graph.dtype(unit.inputs[s]) or "") or "" for s in states]
    weight = case.graph.dtype(unit.inputs[unit.facts.weight])
    if not all(d in SMALLEST for d in stored) or not weight:
        return ""
    return max((component(COMPUTE[weight]), *stored), key=SMALLEST.__getitem__)


def float16_state(case: Case) -> Iterator[Hit]:
    """A state that is carried from step to step is kept in float16."""
    for unit in case.graph.updates:
        if unit.facts.stochastic:
            continue
        carried = unit.sketch.ask(_carried)
        states = [s for s in carried if case.graph.dtype(unit.inputs[s]) == "float16"]
        if states:
            text = "kept in float16, which holds nothing below 6e-8: small gradients, and more so squares, vanish"
            yield at(unit, f"{_are(states)} {text}", states=tuple(states))


def _are(names: list[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _carried(facts: Facts) -> tuple[str, ...]:
    """The states whose new value depends on the old one."""
    outputs = facts.formula.outputs if facts.formula else {}
    return tuple(s for s in facts.states if s in outputs and s in leaves(outputs[s]))


def decay_rounds_away(case: Case) -> Iterator[Hit]:
    """What a 16-bit state should forget in a step is less than half of what its last bit is worth."""
    for unit in case.graph.updates:
        if unit.facts.stochastic:
            continue
        for state, d in _kept_of_states(unit.facts):
            yield from _rounds_away(case, unit, state, d)
    yield from _averages(case)


def _rounds_away(case: Case, unit: Unit, state: str, d: float) -> Iterator[Hit]:
    dtype = component(case.graph.dtype(unit.inputs[state]) or "")
    if dtype in NARROW and _is_lost(d, dtype):
        yield at(unit, f"{_lost_text(state, d, dtype)}", state=state, kept=d, dtype=dtype)


def _lost_text(state: str, d: float, dtype: str) -> str:
    if d == 1:
        return f"{state} is a sum in {dtype}, which stops growing at {2 ** BITS[dtype]} times what is added to it"
    return f"{state} keeps {d:g} of itself at a step, which in {dtype} rounds to all of it: it never falls"


def _is_lost(d: float, dtype: str) -> bool:
    return 0 <= 1 - d < 2.0 ** -(BITS[dtype] + 1)


def _kept_of_states(facts: Facts) -> list[tuple[str, float]]:
    found = [(state, kept(facts, state)) for state in facts.states]
    return [(state, d) for state, d in found if d is not None]


def _averages(case: Case) -> Iterator[Hit]:
    """Averages that the graph keeps by ordinary ops, in a 16-bit variable."""
    for node in case.graph.ordinary:
        for variable in node.attrs.get("__out__", ()):
            dtype = component(case.graph.dtype(variable) or "")
            if dtype not in NARROW:
                continue
            parts = case.flow.parts(node)
            old = [p for p in parts if p.node is variable]
            if len(parts) > 1 and len(old) == 1 and old[0].factor < 1 and _is_lost(old[0].factor, dtype):
                text = _lost_text("the average", old[0].factor, dtype)
                yield Hit(node, node.name, text, {"kept": old[0].factor, "dtype": dtype})


def step_rounds_away(case: Case) -> Iterator[Hit]:
    """A step of the length that the formula gives it is too short to change an ordinary 16-bit weight."""
    for unit in case.graph.updates:
        facts = unit.facts
        dtype = component(case.graph.dtype(unit.weight) or "")
        if dtype not in NARROW or facts.stochastic or facts.op.master >= 0 or facts.op.residual:
            continue
        length = _length_of_step(facts)
        if length is None or length <= 0:
            continue
        least = 2.0 ** (math.floor(math.log2(length)) + 1 + BITS[dtype])
        if least <= ORDINARY:
            text = (
                f"a step is {length:.2g} long, whatever the gradient: {dtype} weights of {least:.2g} or more "
            )
            yield at(unit, text + "round back", length=length, dtype=dtype, least=least)


def _length_of_step(facts: Facts) -> float | None:
    """How long steps are when gradients keep their sign, of a rule whose steps do not depend on the gradient's size.

    None also where that depends on numbers that are not known.
    """
    rate = facts.numbers.get(RATE, 0.0)
    if not facts.gives_weight or not facts.grads or not rate:
        return None
    others = facts.only(facts.sketch.ask(attributes_of, "output") - {RATE})
    first, second = (others.ask(_length_per_rate, turn) for turn in (0, 1))
    if first is None or second is None or not np.isclose(first, second, rtol=0.02):
        return None
    return abs(rate) * first


def _length_per_rate(facts: Facts, turn: int) -> float | None:
    """The length of a step, by the rate: if it is in proportion to that, the same for all gradients, and settles.

    States that forget are put where they would be in the end, the others go on step by step.
    """
    sizes, rates = np.array([1e-2, 1.0, 1e-2, 1.0]), np.array([1e-3, 1e-3, 2e-3, 2e-3])
    steps = [n for n, a in facts.op.attrs.items() if a.kind == "integer" and n not in facts.numbers]
    forgotten = {name: 1 - (kept(facts, name) or 0.0) for name in facts.states}
    now = {name: np.zeros(4) for name in facts.states}
    fixed = {**dict.fromkeys(facts.grads, sizes), facts.weight: np.full(4, ORDINARY)}
    before = length = np.zeros(4)
    for _ in range(STEPS):
        found = facts.at({RATE: rates, **dict.fromkeys(steps, LATE * LATE)}, turn, **fixed, **now)
        if found is None or not all(np.isfinite(x).all() for x in found.values()):
            return None
        before, length = length, np.abs(np.broadcast_to(found["output"], 4) - ORDINARY) / rates
        now = {
            n: now[n] + (found[n] - now[n]) / (share if share > 0 else 1) for n, share in forgotten.items()
        }
    settled = np.allclose(before, length, rtol=1e-3) and np.allclose(length, length[1], rtol=0.02)
    return float(length[1]) if settled else None


def constant_seed(case: Case) -> Iterator[Hit]:
    """Stochastic rounding has the same seed at every step."""
    for unit in case.graph.updates:
        seed = unit.facts.numbers.get("seed")
        if unit.facts.stochastic and seed is not None and not case.graph.is_set(unit, "seed"):
            yield at(
                unit, f"seed = {seed:g} at every step: rounding is not random from step to step", seed=seed
            )
