"""Rules on numbers: rates, decays and bounds that make a formula do what nobody wants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..show.terms import in_order
from .decay import decays, has_gradient, kept, leaves, parity
from .rule import Case, Hit, at
from .unit import Facts, Unit

RATE = "lr"


def no_effect(case: Case) -> Iterator[Hit]:
    """A number makes the new weight independent of the gradient."""
    for unit in case.graph.updates:
        name = unit.sketch.ask(_mutes_the_gradient)
        if name:
            yield at(unit, f"{name} = {unit.facts.numbers[name]:g}: the gradient has no effect on the weight")


def _mutes_the_gradient(facts: Facts) -> str:
    if not facts.gives_weight or not facts.grads:
        return ""
    suspects = [n for n in _said(facts) if facts.numbers[n] in (0, 1)]
    if not suspects or has_gradient(facts) is not False:
        return ""
    return next((n for n in suspects if has_gradient(facts, {n: 0.5})), "")


def negative_rate(case: Case) -> Iterator[Hit]:
    """The learning rate is negative: the step climbs."""
    for unit in case.graph.updates:
        rate = unit.facts.numbers.get(RATE, 0.0)
        if rate < 0:
            yield at(unit, f"{RATE} = {rate:g} is negative: the step goes up the gradient", value=rate)


def forgets_wrongly(case: Case) -> Iterator[Hit]:
    """An average keeps more than all of its old value, or turns its sign."""
    for unit in case.graph.updates:
        for state, d, names in _out_of_range(unit.facts):
            fate = (
                "changes sign at every step" if d < 0 else "grows without bound" if d > 1 else "never forgets"
            )
            yield at(
                unit,
                f"{state} is multiplied by {d:g} at every step ({names}): it {fate}",
                state=state,
                kept=d,
            )


def _out_of_range(facts: Facts) -> list[tuple[str, float, str]]:
    found = []
    for state in facts.states:
        d = kept(facts, state)
        names = _deciding(facts, state) if d is not None and not 0 <= d < 1 else []
        if d is not None and names:
            text = ", ".join(f"{n} = {facts.numbers[n]:g}" for n in names)
            found.append((state, d, text))
    return found


def _deciding(facts: Facts, state: str) -> list[str]:
    """The attributes that decide how much of a state is kept."""
    found = []
    values = np.array([0.0, 1.0])
    now = facts.at_rest(**{state: values, facts.weight: 0.0})
    for name in _said(facts):
        other = facts.at_rest({name: 0.123}, **{state: values, facts.weight: 0.0})
        if now is None or other is None:
            continue
        a, b = np.broadcast_to(now[state], 2), np.broadcast_to(other[state], 2)
        if np.isfinite(b).all() and not np.isclose(a[1] - a[0], b[1] - b[0], rtol=1e-9, atol=1e-12):
            found.append(name)
    return found


def _said(facts: Facts) -> list[str]:
    """The numbers that the user wrote: what a system has by default is meant."""
    return [n for n in facts.numbers if n in facts.given and facts.op.attrs[n].kind != "integer"]


def squares_forget_faster(case: Case) -> Iterator[Hit]:
    """The mean of squares, which divides, forgets faster than the mean that it divides."""
    for unit in case.graph.updates:
        for mean, d1, square, d2 in _divided(unit.facts):
            text = f"{square} keeps {d2:g} of itself at a step, {mean} {d1:g}: old gradients outlive their squares"
            yield at(unit, text, **{mean: d1, square: d2})


def _divided(facts: Facts) -> list[tuple[str, float, str, float]]:
    """(mean, kept, mean of squares, kept) where the first is divided by the second's root and forgets more slowly."""
    found = []
    for mean, square in facts.sketch.ask(_fractions):
        d1, d2 = kept(facts, mean), kept(facts, square)
        if d1 is not None and d2 is not None and d2 < d1 < 1:
            found.append((mean, d1, square, d2))
    return found


def _fractions(facts: Facts) -> list[tuple[str, str]]:
    """States that are divided, mean by mean of squares: which turn with the gradient's sign, and which do not."""
    if facts.formula is None or len(facts.states) < 2:
        return []
    means = [s for s in facts.states if parity(facts, s) == 1]
    squares = [s for s in facts.states if parity(facts, s) == 2]
    divisions = [t.args for t in in_order(facts.formula.outputs.values()) if t.op == "div"]
    read = [(leaves(x), leaves(y)) for x, y in divisions]
    return [(m, s) for m in means for s in squares if any(m in above and s in below for above, below in read)]


def zero_by_zero(case: Case) -> Iterator[Hit]:
    """With states of zero, a gradient of zero gives 0 / 0: NaN for good."""
    for unit in case.graph.updates:
        name = unit.sketch.ask(_divides_by_zero)
        if name and not _has_started(case, unit):
            yield at(
                unit, f"{name} = 0: where state and gradient are zero the step is 0 / 0, NaN from then on"
            )


def _divides_by_zero(facts: Facts) -> str:
    suspects = [n for n in _said(facts) if facts.numbers[n] == 0]
    found = facts.at_rest() if suspects and facts.states and facts.gives_weight else None
    if found is None or not np.isnan(found["output"]).any():
        return ""
    for name in suspects:
        other = facts.at_rest({name: 1e-8})
        if other is not None and np.isfinite(other["output"]).all():
            return name
    return ""


def _has_started(case: Case, unit: Unit) -> bool:
    """Whether arrays are bound whose states are nowhere zero."""
    memory = case.graph.memory
    names = [unit.inputs[s].name for s in unit.facts.states]
    if memory is None or not all(name in memory.arrays for name in names):
        return False
    return all(bool((memory.arrays[name] != 0).all()) for name in names)


def decays_wrongly(case: Case) -> Iterator[Hit]:
    """What decay leaves of the weight in a step is more than all of it, or has the other sign."""
    for unit in case.graph.updates:
        found = unit.facts.ask(_left_of_weight)
        if found is None:
            continue
        factor, names = found
        fate = "it grows" if factor > 1 else "its sign changes"
        yield at(unit, f"a step multiplies the weight by {factor:g} ({names}): {fate}", factor=factor)


def _left_of_weight(facts: Facts) -> tuple[float, str] | None:
    names = [n for n in facts.sketch.ask(decays) if n in facts.numbers]
    if not names:
        return None
    first, second = (_factor_of_weight(facts, turn) for turn in (0, 1))
    if first is None or second is None or not np.isclose(first, second, rtol=1e-9) or 0 <= first <= 1:
        return None
    shown = [n for n in dict.fromkeys([*names, RATE]) if n in facts.numbers]
    return first, ", ".join(f"{n} = {facts.numbers[n]:g}" for n in shown)


def _factor_of_weight(facts: Facts, turn: int) -> float | None:
    """What a step without gradient multiplies the weight by; None if that is not all it does."""
    found = facts.at_rest(None, turn, **{facts.weight: np.array([0.0, 1.0, 2.0])})
    if found is None:
        return None
    zero, one, two = np.broadcast_to(found["output"], 3)
    factor = float(one - zero)
    return factor if np.isclose(two - zero, 2 * factor) else None
