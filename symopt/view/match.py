"""Which nodes of two graphs are the same ones: by name, then by what they compute, then by what reads them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..attrs import REQUIRED
from ..expr import PICK, Node, children, origin, toposort
from ..forms import op_of
from ..names import hint_of

Key = tuple[Any, ...]


class Matching:
    """Pairs of nodes of two graphs. `first`, `second`: the nodes of each, inputs first.

    Names that nobody gave ("adam_update7") say little: with one node more before them, each is another's. They
    count only where ops, attributes and inputs do not tell.
    """

    def __init__(self, first: Sequence[Node], second: Sequence[Node]) -> None:
        self.first, self.second = _nodes(first), _nodes(second)
        self._of: dict[int, Node] = {}  # the node of the second graph, by id of the first's
        self._back: dict[int, Node] = {}
        self._by_name(lambda node: not is_made_up(node))
        for _ in range(2):  # what readers tell may tell of others what they compute
            for describe in (_all_it_does, _op_and_inputs, _inputs):
                self._by_computation(describe)
            self._by_readers(first, second)
        self._by_name(lambda node: True)

    @property
    def pairs(self) -> list[tuple[Node, Node]]:
        return [(node, self._of[id(node)]) for node in self.first if id(node) in self._of]

    @property
    def only_first(self) -> list[Node]:
        return [node for node in self.first if id(node) not in self._of]

    @property
    def only_second(self) -> list[Node]:
        return [node for node in self.second if id(node) not in self._back]

    def are_same(self, first: Node, second: Node) -> bool:
        """Whether two values are the same output of a pair."""
        (a, k), (b, j) = origin(first), origin(second)
        return k == j and self._of.get(id(a)) is b

    def _join(self, first: Node, second: Node) -> None:
        self._of[id(first)] = second
        self._back[id(second)] = first

    def _by_name(self, counts: Callable[[Node], bool]) -> None:
        """Variables with variables, ops with ops; of a name that is there twice, none."""
        theirs = _once(node for node in self.only_second if counts(node))
        for key, node in _once(node for node in self.only_first if counts(node)).items():
            if key in theirs:
                self._join(node, theirs[key])

    def _by_computation(self, describe: Callable[[Node], Key]) -> None:
        """Ops that are described alike and have the same inputs; of several such, those of one name, else in order."""
        ours: dict[Key, list[Node]] = {}
        for node in self.only_first:
            if node.inputs:
                ours.setdefault((describe(node), *_ends(node, {})), []).append(node)
        for node in self.only_second if ours else ():
            if not node.inputs:
                continue
            found = ours.get((describe(node), *_ends(node, self._back)))
            if found:
                same = next((k for k, other in enumerate(found) if other.name == node.name), 0)
                self._join(found.pop(same), node)

    def _by_readers(self, first: Sequence[Node], second: Sequence[Node]) -> None:
        """What stands at the same place of a pair, or among the outputs, if its op is the same."""
        self._join_all(first, second)
        for node in reversed(self.first):
            other = self._of.get(id(node))
            if other is not None and other.op == node.op:
                self._join_all(children(node), children(other))

    def _join_all(self, first: Sequence[Node], second: Sequence[Node]) -> None:
        for (a, k), (b, j) in zip(map(origin, first), map(origin, second)):
            is_open = id(a) not in self._of and id(b) not in self._back
            if is_open and len(first) == len(second) and k == j and a.op == b.op:
                self._join(a, b)


def _all_it_does(node: Node) -> Key:
    return (node.op, *sorted(own_attributes(node).items()))


def _op_and_inputs(node: Node) -> Key:
    return (node.op,)


def _inputs(node: Node) -> Key:
    return (op_of(node).is_update,)


def _ends(node: Node, back: Mapping[int, Node]) -> Iterator[Key]:
    """What a node reads, and what `out=` writes, as nodes of the first graph; one without a partner is itself."""
    for x in children(node):
        end, k = origin(x)
        yield id(back.get(id(end), end)), k


def own_attributes(node: Node) -> dict[str, str]:
    """The attributes of a node as text: also those that nobody gave, at their defaults, but for what `out=` writes.
    A clip or bound that is negative is "off"."""
    given = {key: _text(value) for key, value in node.attrs.items() if key != "__out__"}
    if node.is_variable:
        return given
    scalars = node.attrs.get("__scalars__", ())
    found: dict[str, str] = {}
    for name, attr in op_of(node).attrs.items():
        value = node.attrs.get(name, attr.default)
        if value is not REQUIRED and (name in given or name not in scalars):
            is_off = attr.switch and isinstance(value, float) and value < 0
            found[name] = given[name] = "off" if is_off else _text(value)
    return {**found, **given}


def is_made_up(node: Node) -> bool:
    """Whether a name is one that a NameManager makes: the op's and a number."""
    return (
        not node.is_variable and re.fullmatch(rf".*{re.escape(hint_of(node.op))}\d+", node.name) is not None
    )


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and f"{value:g}" == str(value) else str(value)


def _nodes(roots: Sequence[Node]) -> list[Node]:
    return [node for node in toposort(roots, children) if node.op != PICK]


def _once(nodes: Iterable[Node]) -> dict[Key, Node]:
    """Nodes by name and kind, without those whose name others have too."""
    found: dict[Key, list[Node]] = {}
    for node in nodes:
        found.setdefault((node.name, node.is_variable), []).append(node)
    return {key: group[0] for key, group in found.items() if len(group) == 1}
