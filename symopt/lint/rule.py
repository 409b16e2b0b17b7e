"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..expr import Node
from .finding import Severity
from .flow import Flow
from .graph import Graph
from .unit import Facts, Unit


@dataclass(frozen=True, eq=False)
class Case:
    """The graph that rules look at, with what several of them ask for."""

    graph: Graph
    flow: Flow
    _answers: dict[Any, Any] = field(default_factory=dict)

    def alike(self, question: Callable[[Facts], Any], facts: Facts) -> Any:
        """The answer to a question about a formula and its numbers, found once for all nodes that are alike."""
        key = (question, id(facts))
        if key not in self._answers:
            self._answers[key] = question(facts)
        return self._answers[key]


@dataclass(frozen=True)
class Hit:
    """A place where a rule applies. `message` names no node and no variable, so that hits that are alike read alike."""

    node: Node
    name: str
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Check = Callable[[Case], Iterator[Hit]]


@dataclass(frozen=True)
class Rule:
    """A stable code, a line that says what is wrong, how sure that is, and the function that finds it.

    `unless`: codes that, found at the same node, make this one say nothing: they name the cause.
    """

    code: str
    reason: str
    severity: Severity
    check: Check
    unless: tuple[str, ...] = ()


def at(unit: Unit, message: str, **facts: Any) -> Hit:
    """A hit at a unit."""
    return Hit(unit.node, unit.name, message, facts)
