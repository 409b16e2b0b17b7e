"""State that is saved and loaded: by name, and all of it or nothing.

What has state gives it out as nested dicts of arrays, numbers and strings, and takes it back in two moves: `plan_load`
looks at everything and writes nothing; what it returns then swaps the state in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .arrays import Array
from .errors import StateError
from .places import HOST, from_host, place_of_array

Commit = Callable[[], None]


class Differences:
    """How a state to load differs from what it is loaded into.

    `missing`: what the state lacks; `unexpected`: what only the state has; `different`: what does not fit. Each is a
    list of lines that begin with a path, such as "parameters/fc1/states/mean".
    """

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.different: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.different)

    def __repr__(self) -> str:
        return (
            f"Differences(missing={self.missing}, unexpected={self.unexpected}, different={self.different})"
        )

    def compare(self, path: str, what: str, expected: object, given: object) -> bool:
        """Whether both are equal; if not, a line among `different` says so."""
        if _is_same(expected, given):
            return True
        self.different.append(f"{path}: {what} is {expected!r} here, the state has {given!r}")
        return False

    def names(self, path: str, expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
        """The names that both have; the others are noted."""
        prefix = f"{path}/" if path else ""
        self.missing += [f"{prefix}{name}" for name in expected if name not in given]
        self.unexpected += [f"{prefix}{name}" for name in given if name not in expected]
        return [name for name in expected if name in given]

    def check(self, what: str, strict: bool) -> None:
        """StateError that lists everything, if something does not fit, or, when `strict`, is missing or unexpected."""
        lines = [f"    {line}" for line in self.different]
        if strict:
            lines += [f"    {line}: missing in the state" for line in self.missing]
            lines += [f"    {line}: only in the state" for line in self.unexpected]
        if lines:
            hint = "" if self.different else "\n  strict=False loads what both have"
            raise StateError(
                f"{what} can't load this state; nothing was changed:\n" + "\n".join(lines) + hint
            )


@runtime_checkable
class Stateful(Protocol):
    """What `so.save` and `so.load` take beside plain data."""

    def state_dict(self) -> dict[str, Any]:
        """The state as nested dicts of arrays, numbers, strings, booleans and None. Arrays are the very ones in use."""
        ...

    def plan_load(self, state: Mapping[str, Any], found: Differences, path: str = "") -> Commit:
        """Compare `state` with what is here, and give the function that takes it over. Writes nothing itself."""
        ...


def load_state(target: Stateful, state: Mapping[str, Any], strict: bool, what: str) -> Differences:
    """Load a state into `target`, whole or not at all; what `load_state_dict` of every class does.

    With strict=False, what is missing stays as it is and what is unexpected is left; the result lists both.
    """
    found = Differences()
    commit = target.plan_load(state, found)
    found.check(what, strict)
    commit()
    return found


def nothing() -> None:
    """A Commit that takes nothing over."""


def plan_arrays(own: Mapping[str, Array], given: Mapping[str, Any], found: Differences, path: str) -> Commit:
    """Copy arrays by name into those of `own`, wherever they lie, when committed."""
    pairs = []
    for name in found.names(path, own, given):
        where, there = f"{path}/{name}" if path else str(name), given[name]
        if not hasattr(there, "shape") or not hasattr(there, "dtype"):
            found.different.append(f"{where}: expected an array, the state has {said(there)}")
            continue
        here, there = as_view(own[name], where), as_view(there, where)
        if isinstance(here, np.ndarray) and not here.flags.writeable:
            found.different.append(f"{where}: it can't be written to: it is read-only")
            continue
        fits = found.compare(where, "shape", here.shape, there.shape)
        if found.compare(where, "dtype", here.dtype.name, there.dtype.name) and fits:
            pairs.append((here, there))

    def commit() -> None:
        for here, there in pairs:
            copy_into(here, there)

    return commit


def said(x: Any) -> str:
    """What something is, for errors."""
    return "None" if x is None else f"a {type(x).__name__}"


def _is_same(expected: Any, given: Any) -> bool:
    if isinstance(expected, (list, tuple)) and isinstance(given, (list, tuple)):
        return len(expected) == len(given) and all(map(_is_same, expected, given))
    return not hasattr(given, "__array__") and bool(expected == given)  # arrays are compared by element


def held(x: Any) -> Any:
    """The array that a variable of Keras's holds as its `value`; else x."""
    value = getattr(x, "value", None)
    return value if hasattr(value, "shape") and hasattr(value, "dtype") else x


def as_view(x: Any, what: str) -> Array:
    """An array of its place's own type (NumPy's, CuPy's) on the memory of x."""
    x = held(x)
    return place_of_array(x).view(x, what)


def exchange(one: Array, other: Array) -> None:
    """Let two arrays of one place, shape and dtype have each other's values."""
    with place_of_array(one).current():
        kept = one.copy()
        one[...] = other
        other[...] = kept


def copy_into(here: Array, there: Array) -> None:
    """Copy the values of an array into another of its shape and dtype; either may lie on a GPU."""
    place, source = place_of_array(here), place_of_array(there)
    if source is not place:
        there = source.to_host(there)
        there = there if place is HOST else from_host(place, there)
    with place.current():
        here[...] = there
