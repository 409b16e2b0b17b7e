"""Which value each variable holds after the step, when several nodes write it."""

from __future__ import annotations

from itertools import pairwise

from ..errors import DTypeError, GraphError, ShapeError, built_at
from ..expr import Node, origin
from ..forms import op_of
from .ir import Lowered, Value


class Writes:
    """Collects who writes what. Two writers of one variable must be chained: the later made from the earlier."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[Value, Node]]] = {}
        self.root: dict[int, str] = {}  # of a state's value: the variable it lives in

    def state(self, node: Node, name: str, given: Node, value: Value) -> None:
        """`node` updates its state `name`, which it was `given` as a variable or as another node's state."""
        made, index = origin(given)
        variable = (
            made.name if made.is_variable else self.root.get(id(given)) or self.root.get(_key(made, index))
        )
        if variable is None:
            raise GraphError(
                f"{node.op} {node.name!r}: state {name} must be a variable, or node.state(...) of an earlier update, "
                f"so that the new value has a place{built_at(node.where)}"
            )
        self.found.setdefault(variable, []).append((value, node))
        self.root[_key(node, _state_index(node, name))] = variable

    def out(self, node: Node, variable: Node, value: Value, current: Value) -> None:
        """`node` was given out=variable."""
        if value.shape != current.shape:
            raise ShapeError(
                f"{node.op} {node.name!r}: out={variable.name} has shape {current.shape}, "
                f"the result has {value.shape}{built_at(node.where)}"
            )
        if value.dtype != current.dtype or value.host != current.host:
            raise DTypeError(
                f"{node.op} {node.name!r}: out={variable.name} is {current.dtype}, the result is "
                f"{value.dtype}: cast it{built_at(node.where)}"
            )
        self.found.setdefault(variable.name, []).append((value, node))

    def resolve(self, lowered: Lowered) -> dict[str, Value]:
        """The last value of each variable; GraphError if two writers are not chained."""
        final: dict[str, Value] = {}
        for variable, writers in self.found.items():
            if len(writers) > 1:
                _check_chain(variable, writers, lowered)
            final[variable] = writers[-1][0]
        return final


def _key(node: Node, index: int) -> int:
    return hash((id(node), index))


def _state_index(node: Node, name: str) -> int:
    return op_of(node).outputs.index(name)


def _check_chain(variable: str, writers: list[tuple[Value, Node]], lowered: Lowered) -> None:
    producers = {id(v): c.inputs for c in lowered.calls for v in c.outputs}
    host = {id(c.output): [s for s in c.leaves.values() if isinstance(s, Value)] for c in lowered.host_calls}
    for (earlier, first), (later, second) in pairwise(writers):
        seen: set[int] = set()
        stack = [later]
        while stack and id(earlier) not in seen:
            value = stack.pop()
            if id(value) not in seen:
                seen.add(id(value))
                stack.extend((*producers.get(id(value), ()), *host.get(id(value), ()), *value.sources))
        if id(earlier) not in seen:
            raise GraphError(
                f"variable {variable!r} is written twice in one step, by {first.op} {first.name!r} and by "
                f"{second.op} {second.name!r}: chain them (give the second the first's output or first.state(...))"
                f"{built_at(second.where)}"
            )
