"""What a set-up for the linter is, how one is kept, and what several are made of."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from symopt import sym
from symopt.symbol import Symbol


class Setup(NamedTuple):
    """`known`: what is given to lint. `code`: what it must say, "" for nothing."""

    build: Callable[[], Symbol]
    code: str
    known: dict[str, Any]

    def __str__(self) -> str:
        return self.build.__name__


WRONG: list[Setup] = []
GOOD: list[Setup] = []


def wrong(code: str, **known: Any) -> Callable[[Callable[[], Symbol]], Callable[[], Symbol]]:
    def keep(build: Callable[[], Symbol]) -> Callable[[], Symbol]:
        WRONG.append(Setup(build, code, known))
        return build

    return keep


def good(**known: Any) -> Callable[[Callable[[], Symbol]], Callable[[], Symbol]]:
    def keep(build: Callable[[], Symbol]) -> Callable[[], Symbol]:
        GOOD.append(Setup(build, "", known))
        return build

    return keep


def v(names: str) -> Iterator[Symbol]:
    """Variables of one letter each."""
    return map(sym.var, names)


def number(name: str) -> Symbol:
    return sym.var(name, shape=())


def counted() -> Symbol:
    """The number of the step, counted by the graph."""
    t = number("t")
    now: Symbol = sym._plus_scalar(t, scalar=1, out=t)
    return now


def corrected(t: Symbol) -> Symbol:
    """Adam's rate with both bias corrections in it."""
    return number("lr") * sym.sqrt(1 - 0.999**t) / (1 - 0.9**t)


def global_scale(*grads: Symbol) -> Symbol:
    """What clips gradients by their common norm to 1."""
    scale: Symbol = sym.minimum(1.0 / (sym.sqrt(sym.sum(sym.multi_sum_sq(*grads))) + 1e-6), 1.0)
    return scale
