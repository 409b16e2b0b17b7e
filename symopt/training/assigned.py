"""The groups of the parameters that are trained, and the numbers that they need at a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UnknownAttributeError, near
from .groups import Group
from .hyper import Hyper
from .plan import Options


class Assigned:
    """`groups`: by the name of each trained parameter. `unlike`: each group once. `frozen`: the other names."""

    def __init__(self, groups: Mapping[str, Group | None], options: Options) -> None:
        self.groups = {name: group for name, group in groups.items() if group is not None}
        self.unlike = list({id(group.hyper): group for group in self.groups.values()}.values())
        self.frozen = [name for name, group in groups.items() if group is None]
        self._options = options

    def numbers(self, done: int) -> dict[str, float]:
        """The numbers of the step after `done` updates, by the names of their variables."""
        found: dict[str, float] = {}
        for group in self.unlike:
            found |= group.hyper.numbers(done)
        return found | self._options.numbers(done)

    def advance(self, done: int) -> None:
        """Take the step after `done` updates into the products."""
        for group in self.unlike:
            group.hyper.advance(done)

    def set(self, pattern: str | None, attrs: Mapping[str, Any]) -> bool:
        """Give attributes other values; see CompiledStep.set. True if that makes another graph."""
        chosen = [g for g in self.unlike if pattern is None or g.pattern == pattern]
        if not chosen:
            known = {g.pattern for g in self.unlike}
            raise UnknownAttributeError(f"set: there is no group {pattern!r}{near(str(pattern), known)}")
        found = [
            (hyper, n, hyper.parse(n, x)) for n, x in attrs.items() for hyper in _takers(chosen, n, pattern)
        ]
        are_new = [hyper.put(name, value) for hyper, name, value in found]  # all are put
        return any(are_new)


def _takers(groups: Sequence[Group], name: str, pattern: str | None) -> list[Hyper]:
    """Whose attribute `name` is set: of all groups without a value of their own, or of those of a pattern."""
    if pattern is not None:
        return [g.hyper for g in groups]
    found = [g.hyper for g in groups if name not in g.own and name in g.hyper.known]
    if not found:
        known = {n for g in groups for n in g.hyper.known}
        raise UnknownAttributeError(f"set: no group takes {name!r}{near(name, known)}")
    return found
