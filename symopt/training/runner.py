"""A graph bound to arrays that stay, run with gradients and numbers that change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import nan
from operator import is_
from typing import Any

from ..executor import Executor
from ..symbol import Symbol

KEPT = 16  # bound graphs of one optimizer; the one used longest ago goes first


class Runner:
    """One executor. `run` gives it only what is another object, or another number, than at the last step.

    `grads`: names of the variables that get gradients, in the order in which `run` gets them.
    """

    __slots__ = ("_last", "_numbers", "executor", "names")

    def __init__(
        self,
        symbol: Symbol,
        arrays: Mapping[str, Any],
        grads: Mapping[str, Any],
        numbers: Mapping[str, float],
        ctx: Any,
        engine: str = "auto",
        nan_guard: Any = None,
    ) -> None:
        wanted = {**arrays, **grads, **numbers}
        given = {name: wanted[name] for name in symbol.list_inputs()}
        self.executor: Executor = symbol.bind(
            ctx, args=given, aux_states=given, engine=engine, nan_guard=nan_guard
        )
        self.names = list(grads)
        self._last: tuple[Any, ...] = tuple(grads.values())
        self._numbers = {name: numbers[name] for name in numbers if name in given}

    def run(self, grads: Sequence[Any], numbers: Mapping[str, float]) -> list[Any]:
        """One step; the outputs. `numbers` may have more than the graph uses. After an error all is handed over
        again."""
        fresh: dict[str, Any] = {}
        if grads is not self._last and not all(map(is_, grads, self._last)):
            fresh = {n: g for n, g, old in zip(self.names, grads, self._last, strict=True) if g is not old}
        before = self._numbers
        changed: dict[str, Any] = {n: numbers[n] for n in before if numbers[n] != before[n]}
        try:
            outputs = self.executor.forward(**fresh, **changed)
        except BaseException:  # it may have been raised after the executor took some of them, or all
            self._last, self._numbers = (None,) * len(self.names), dict.fromkeys(before, nan)
            raise
        if fresh:
            self._last = tuple(grads)
        if changed:
            self._numbers = {**before, **changed}
        return outputs


class Runners:
    """Runners by key: the parameters with a gradient, how gradients are stored, and whatever else shapes the graph."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._made: OrderedDict[Hashable, Runner] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Runner]) -> Runner:
        """The runner of a key, made when there is none."""
        found = self._made.get(key)
        if found is None:
            found = make()
            self._made[key] = found
            while len(self._made) > self._kept:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(key)
        return found

    def __iter__(self) -> Any:
        return iter(self._made.values())

    def clear(self) -> None:
        """Forget all: the arrays that they are bound to were replaced, or what they compute has changed."""
        self._made.clear()
