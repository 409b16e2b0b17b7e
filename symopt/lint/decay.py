"""Questions about a formula that several rules ask: what forgets, what decays, what a gradient of zero does."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ..show.terms import Term, in_order
from .unit import Facts

TOLERANCE = 1e-9
GRADIENTS = np.array([0.0, 1e-3, -1e-3, 0.5, -0.5, 1e4, -1e4])


def kept(facts: Facts, state: str) -> float | None:
    """How much of a state is left after a step in which nothing comes in: the d of d * state + what comes in.

    None if the new state is not of that form, or d depends on a number that is not known.
    """
    return facts.about(state).ask(_kept, state)


def _kept(facts: Facts, state: str) -> float | None:
    first, second = (_factor(facts, state, turn) for turn in (0, 1))
    if first is None or second is None or not np.isclose(first, second, rtol=TOLERANCE, atol=0):
        return None
    return first if facts.sketch.ask(adds, state) else None


def _factor(facts: Facts, state: str, turn: int) -> float | None:
    """The d, with other numbers for what is not known at each turn."""
    found = facts.at_rest(None, turn, **{state: np.array([0.0, 1.0, 2.0, -1.0]), facts.weight: 0.0})
    if found is None:
        return None
    zero, one, two, minus = np.broadcast_to(found[state], 4)
    d = float(one - zero)
    straight = np.allclose([two - zero, minus - zero], [2 * d, -d], rtol=TOLERANCE, atol=TOLERANCE)
    return d if np.isfinite(d) and straight else None


def adds(facts: Facts, state: str) -> bool:
    """Whether what comes into a state is added to what is left of it: not so for the largest of both."""
    points = np.array([[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 0.5, 0.5]])
    grads = dict.fromkeys(facts.grads, points[1])
    found = facts.at_rest(**{state: points[0], facts.weight: 0.0, **grads})
    if found is None:
        return False
    rest, old, new, both = np.broadcast_to(found[state], 4)
    return bool(np.isclose(both - old, new - rest, rtol=1e-6, atol=TOLERANCE))


def parity(facts: Facts, state: str) -> int:
    """1 if what comes into a state turns with the gradient's sign, 2 if it does not: a mean, a mean of squares. 0:
    neither."""
    found = facts.at_rest(**{facts.weight: 0.0, **{name: np.array([0.0, 0.5, -0.5]) for name in facts.grads}})
    if found is None:
        return 0
    rest, up, down = np.broadcast_to(found[state], 3)
    up, down = up - rest, down - rest
    if not np.isfinite([up, down]).all() or abs(up) < TOLERANCE:
        return 0
    return 1 if np.isclose(up, -down) else 2 if np.isclose(up, down) else 0


def moves_at_rest(facts: Facts, state: str) -> bool:
    """Whether a state changes in a step without gradient, wherever it is, other than by the decay of the weight."""
    values = np.array([0.3, 0.9, 1.7])
    no_decay = dict.fromkeys(facts.ask(decays), 0.0)
    found = facts.at(no_decay, **{state: values, **dict.fromkeys(facts.grads, 0.0)})
    return found is not None and not np.allclose(found[state], values, rtol=1e-7, atol=1e-12)


def has_gradient(facts: Facts, change: Mapping[str, float] | None = None) -> bool | None:
    """Whether the new weight depends on the gradient; None if that cannot be asked."""
    found = facts.at(change, **dict.fromkeys(facts.grads, GRADIENTS))
    if found is None or "output" not in found:
        return None
    new = np.broadcast_to(found["output"], GRADIENTS.shape)
    return bool((new != new[0]).any() or np.isnan(new).any())


def decays(facts: Facts) -> tuple[str, ...]:
    """The attributes by which the weight shrinks on its own: without them it would stay where no gradient comes, and
    the gradient acts without them as well. Those known to be 0 are none."""
    if not facts.gives_weight or not _leaves_rest(facts, ()):
        return ()
    numeric = {
        n: a for n, a in facts.op.attrs.items() if a.is_numeric and not a.switch and a.kind != "integer"
    }
    names = [n for n in numeric if facts.numbers.get(n) != 0 and has_gradient(facts, {n: 0.0})]
    for count in (1, 2):
        for some in combinations(names, count):
            if not _leaves_rest(facts, some) and has_gradient(facts, dict.fromkeys(some, 0.0)):
                return some
    return ()


def _leaves_rest(facts: Facts, without: tuple[str, ...]) -> bool:
    """Whether the weight moves where no gradient comes and states are zero, with some attributes at 0."""
    weights = np.array([0.4, 1.0, 3.0])
    found = facts.at_rest(dict.fromkeys(without, 0.0), **{facts.weight: weights})
    return found is not None and not _equal(found["output"], weights)


def _equal(x: np.ndarray, y: np.ndarray) -> bool:
    return bool(np.allclose(x, y, rtol=1e-7, atol=0, equal_nan=True))


def leaves(t: Term) -> set[str]:
    """The inputs that a term reads, by name."""
    return {str(x.value) for x in in_order([t]) if x.op == "input"}


def attributes(t: Term) -> set[str]:
    """The attributes that a term reads, by name."""
    return {str(x.value) for x in in_order([t]) if x.op == "attr"}
