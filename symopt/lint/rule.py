"""What a rule is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..expr import Node
from .finding import Severity
from .flow import Flow
from .graph import Graph
from .unit import Unit


@dataclass(frozen=True, eq=False)
class Case:
    """The graph that rules look at, and what its values are sums of."""

    graph: Graph
    flow: Flow


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
