"""What a primitive costs where memory costs nothing: long chains of it against short ones, on arrays in a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..lang import (
    Tensor,
    absolute,
    ceil,
    exp,
    floor,
    fmod,
    log,
    power,
    rint,
    sqrt,
    tanh,
    trunc,
    where,
)

Step = Callable[[Tensor, Tensor, float], Tensor]
BESIDE = 4  # chains in one formula
LIKE_LT = ("le", "eq", "ne", "and", "or", "where")


class Chain(NamedTuple):
    """A step from x to the next x, given g and another number each time, that computes `op` once, `beside` primitives
    that come before it in the list.

    `alike`: further primitives that are taken to cost the same. `slow`: a call of a library for each element; those do
    not wait for each other.
    """

    op: str
    step: Step
    beside: tuple[str, ...] = ()
    alike: tuple[str, ...] = ()
    slow: bool = False


# Both arrays hold numbers near 1, and the chains keep theirs finite: infinities may be faster or slower. No step undoes
# the one before it, which a compiler would see.
CHAINS = (
    Chain("add", lambda x, g, k: x + g, alike=("sub",)),
    Chain("mul", lambda x, g, k: x * g),
    Chain("div", lambda x, g, k: x / g),
    Chain("sqrt", lambda x, g, k: sqrt(x)),
    Chain("lt", lambda x, g, k: where(x < g, g, x * g), ("mul", "lt"), LIKE_LT),
    Chain("max", lambda x, g, k: where(x > g, x, g * x), ("mul", "lt"), ("min",)),
    Chain("abs", lambda x, g, k: absolute(x - g), ("add",), ("neg",)),
    Chain("floor", lambda x, g, k: floor(x) + g, ("add",)),
    Chain("ceil", lambda x, g, k: ceil(x) - g, ("add",)),
    Chain("trunc", lambda x, g, k: trunc(x) + g, ("add",)),
    Chain("rint", lambda x, g, k: rint(x) + g, ("add",)),
    Chain("exp", lambda x, g, k: x + exp(g * k), ("add", "mul"), slow=True),
    Chain("log", lambda x, g, k: x + log(g * k), ("add", "mul"), slow=True),
    Chain("tanh", lambda x, g, k: x + tanh(g * k), ("add", "mul"), slow=True),
    Chain("pow", lambda x, g, k: x + power(g * k, g), ("add", "mul"), slow=True),
    Chain("fmod", lambda x, g, k: x + fmod(g, g * k), ("add", "mul"), slow=True),
)


def chained(step: Step, length: int) -> Callable[..., Tensor]:
    """A formula of so many steps in each of BESIDE chains, so that no step has to wait for the one before it."""

    def chain(weight: Tensor, grad: Tensor) -> Tensor:
        values = [weight * (1 + k / 64) for k in range(BESIDE)]
        for n in range(length):
            values = [step(x, grad, 0.5 + (n + k / BESIDE) / length) for k, x in enumerate(values)]
        total = values[0]
        for x in values[1:]:
            total = total + x
        return total

    return chain
