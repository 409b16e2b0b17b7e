"""Nested dicts and lists of arrays as lists: parameters get names from where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..errors import MissingArgumentError, UnknownArgumentError, near

Tree = Any  # an array, or a dict, list or tuple of Trees


def flatten(tree: Tree, what: str) -> dict[str, Any]:
    """The leaves of a tree by name: keys and positions joined by dots.

    A single array is called "weight". UnknownArgumentError for names that occur twice, or that begin with "@".

    >>> flatten({"fc1": {"weight": 1, "bias": 2}, "out": [3, 4]}, "params")
    {'fc1.weight': 1, 'fc1.bias': 2, 'out.0': 3, 'out.1': 4}
    """
    found: dict[str, Any] = {}
    for name, leaf in _leaves(tree, "", what):
        if name in found or name.startswith("@"):
            why = "given twice" if name in found else "kept for numbers: names must not begin with @"
            raise UnknownArgumentError(f"{what}: the name {name!r} is {why}")
        found[name] = leaf
    return found


def _leaves(tree: Tree, path: str, what: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        items = list(tree.items())
    elif isinstance(tree, (list, tuple)):
        items = list(enumerate(tree))
    else:
        yield path or "weight", tree
        return
    for key, value in items:
        if not isinstance(key, (str, int)) or key == "":
            raise UnknownArgumentError(f"{what}: a name must be a string that is not empty, got {key!r}")
        yield from _leaves(value, f"{path}.{key}" if path else str(key), what)


class Like:
    """Takes trees of one structure apart: leaves by name, in one order. Leaves may be None.

    `names`: of the leaves that are wanted. `ignored`: names that a tree may have as well.
    """

    def __init__(self, names: Sequence[str], ignored: Sequence[str] = ()) -> None:
        self._names = list(names)
        self._known = {*names, *ignored}
        self._is_list = self._names == [str(k) for k in range(len(self._known))]

    def leaves(self, tree: Tree, what: str) -> list[Any]:
        """The leaves in order. Missing and unknown names are errors: None is for a gradient that there is not."""
        if len(tree) == len(self._names) if isinstance(tree, (dict, list, tuple)) else False:
            if not isinstance(tree, dict):
                if self._is_list:
                    return list(tree)
            else:
                with suppress(KeyError):
                    return list(map(tree.__getitem__, self._names))
        given = flatten(tree, what)
        for name in given:
            if name not in self._known:
                raise UnknownArgumentError(f"{what}: there is no parameter {name!r}{near(name, self._names)}")
        for name in self._names:
            if name not in given:
                raise MissingArgumentError(
                    f"{what}: {name!r} is missing; give None if it has no gradient this time"
                )
        return [given[name] for name in self._names]
