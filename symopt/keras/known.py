"""The variables that an optimizer has met, each with a key of its own for its state."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays import Array
from ..places import place_of_array
from .variables import Variable


class KnownVariables:
    """The variables that an optimizer has met, each with a key of its own for its state.

    Arrays are told apart as objects and are kept, so that an id is never another's; what they are called is found
    here too: what has no name is "Variable:0", then "Variable_1:0".

    A deep copy has copies of the variables. If the first that it is asked for is none of these but one that the
    original has, it goes on with those.
    """

    def __init__(self) -> None:
        self._all: list[KnownVariable] = []
        self._by_id: dict[int, KnownVariable] = {}
        self._keys: set[str] = set()
        self._originals: list[KnownVariable] = []  # of a copy that is not decided yet

    def __iter__(self) -> Iterator[KnownVariable]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __getstate__(self) -> list[KnownVariable]:
        return self._all  # ids are other objects' elsewhere

    def __setstate__(self, known: list[KnownVariable]) -> None:
        self.__init__()  # type: ignore[misc]
        for one in known:
            self._keep(one)

    def __deepcopy__(self, memo: dict[int, Any]) -> KnownVariables:
        made = memo[id(self)] = KnownVariables()
        made.__setstate__(copy.deepcopy(self._all, memo))
        made._originals = list(self._all)
        return made

    def find(self, variable: Any) -> KnownVariable | None:
        """What is known of a variable, if it was met before."""
        if self._originals:
            self._decide(variable)
        return self._by_id.get(id(variable))

    def _decide(self, variable: Any) -> None:
        """Go on with the variables of the original, or with the copies: with those that this is one of."""
        if any(one.is_variable(variable) for one in self._originals):
            for own, original in zip(self._all, self._originals, strict=True):
                own.become(original)
            self.__setstate__(self._all)
        elif id(variable) in self._by_id:
            self._originals = []

    def _keep(self, known: KnownVariable) -> None:
        self._all.append(known)
        self._keys.add(known.key)
        self._by_id[id(known.variable)] = known
        if known.wrapper is not None:
            self._by_id[id(known.wrapper)] = known

    def meet(self, variable: Any) -> KnownVariable:
        """What is known of a variable, known from now on."""
        known = self.find(variable)
        if known is None:
            known = self.look_at(variable)
            self._keep(known)
        return known

    def forget(self, count: int) -> None:
        """Know the first `count` variables only."""
        if count < len(self._all):
            self.__setstate__(self._all[:count])

    def wrapped(self, known: KnownVariable) -> Variable:
        """The so.Variable that was given, or one on the array that was, by which it is known too."""
        if isinstance(known.variable, Variable):
            return known.variable
        if known.wrapper is None:
            known.wrapper = Variable(known.array, known.name)
            self._by_id[id(known.wrapper)] = known
        return known.wrapper

    def look_at(self, variable: Any) -> KnownVariable:
        """What would be known of a new variable. Errors if it cannot be updated in place."""
        name = given_name(variable)
        stem = (name or "Variable:0").partition(":")[0]
        key, count = stem, 0
        while key in self._keys:
            count += 1
            key = f"{stem}_{count}"
        return KnownVariable(variable, name or f"{key}:0", key)


class KnownVariable:
    """A variable as an optimizer sees it: the object given, how it is called, and the key of its state, which no other
    has; the array to bind, and a view of its memory."""

    def __init__(self, variable: Any, name: str, key: str) -> None:
        self.name = name
        self.key = key
        self.wrapper: Variable | None = None  # a Variable on a bare array, for those who need one
        self._look_at(variable)

    def _look_at(self, variable: Any) -> None:
        self.variable = variable
        self.array = variable.value if isinstance(variable, Variable) else variable
        self.view: Array = place_of_array(self.array).as_array(
            self.array, f"variable {self.name}", mutable=True
        )
        self.constraint = getattr(variable, "constraint", None)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.variable, self.name, self.key, self.wrapper

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        variable, self.name, self.key, self.wrapper = state
        self._look_at(variable)

    def is_variable(self, variable: Any) -> bool:
        """Whether this is what is known of a variable, or of the Variable around its array."""
        return variable is not None and (variable is self.variable or variable is self.wrapper)

    def become(self, other: KnownVariable) -> None:
        """Be what is known of another variable of that shape and dtype."""
        self.wrapper = other.wrapper
        self._look_at(other.variable)

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.view.shape
        return shape

    @property
    def ndim(self) -> int:
        return self.view.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.view.dtype


def given_name(variable: Any) -> str | None:
    """The name that a variable has itself: a Variable's, or that of an array with a `name`."""
    if isinstance(variable, Variable):
        return variable.name if variable.is_named else None
    name = getattr(variable, "name", None)
    return name if isinstance(name, str) and name else None
