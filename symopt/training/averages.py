"""How fast averages of weights follow: momenta as functions of the updates done."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import AttributeValueError


def swa(start: int = 0, every: int = 1) -> Callable[[int], float]:
    """Stochastic weight averaging [Izmailov et al. 2018, arXiv:1803.05407]: the plain mean of the weights after updates
    start + 1, start + 1 + every, start + 1 + 2 * every, ...; a copy of the weights until then. Give it as `ema=`.

    >>> [swa(start=2)(done) for done in range(5)]  # the momentum of each update
    [0.0, 0.0, 0.0, 0.5, 0.6666666666666666]
    """
    if start < 0 or every < 1:
        raise AttributeValueError(
            f"swa: start must be 0 or more and every 1 or more, got {start} and {every}"
        )

    def momentum(done: int) -> float:
        if done <= start:
            return 0.0
        taken, rest = divmod(done - start, every)
        return 1.0 if rest else taken / (taken + 1)

    return momentum


def warmed_up(decay: float) -> Callable[[int], float]:
    """An exponential average that forgets its start quickly: momentum min(decay, (1 + done) / (10 + done)).

    >>> [round(warmed_up(0.999)(done), 3) for done in (0, 10, 10000)]
    [0.1, 0.55, 0.999]
    """

    def momentum(done: int) -> float:
        return min(decay, (1 + done) / (10 + done))

    return momentum
