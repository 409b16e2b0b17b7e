"""Run the rules over a graph."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..backends.base import Memory
from ..errors import UnknownArgumentError, near
from ..expr import Node
from ..planned import Planned, plan_graph
from ..step import without_collection
from .finding import Finding, folded, without
from .flow import Flow
from .graph import Graph
from .rule import Case
from .rules import BY_CODE, RULES


def lint(
    planned: Planned,
    memory: Memory | None = None,
    *,
    select: Collection[str] | str | None = None,
    ignore: Collection[str] | str = (),
) -> list[Finding]:
    """What is legal in a graph and usually wrong, in order of code.

    `planned` need not have a program, and may lack shapes and dtypes: a rule that cannot be decided says nothing.
    `memory`: what an executor knows besides. `select`, `ignore`: codes, or what they begin with ("SO3").
    UnknownArgumentError for one that no rule has.
    """
    wanted = {r.code for r in RULES} if select is None else set(_codes(select))
    wanted -= set(_codes(ignore))
    graph = Graph(planned, memory)
    case = Case(graph, Flow(graph))
    needed = wanted | {code for rule in RULES if rule.code in wanted for code in rule.unless}
    found = list(_findings(case, needed))
    stronger = {rule.code: rule.unless for rule in RULES}
    return folded(one for one in without(found, stronger) if one.code in wanted)


def lint_symbol(
    roots: Sequence[Node],
    shapes: Mapping[str, Any],
    type_dict: Mapping[str, Any] | None,
    stype_dict: Mapping[str, str] | None,
    rows: Mapping[str, int] | None,
    select: Collection[str] | str | None,
    ignore: Collection[str] | str,
) -> list[Finding]:
    """`lint` of a graph, with what is known of its variables by name."""
    with without_collection():
        planned = plan_graph(roots, shapes, type_dict, stype_dict, rows, program=False)
        return lint(planned, select=select, ignore=ignore)


def _codes(given: Collection[str] | str) -> Iterator[str]:
    """The codes that begin with one of those given."""
    for prefix in (given,) if isinstance(given, str) else given:
        codes = [code for code in BY_CODE if prefix and code.startswith(prefix)]
        if not codes:
            raise UnknownArgumentError(f"lint: no rule has the code {prefix!r}{near(prefix, BY_CODE)}")
        yield from codes


def _findings(case: Case, wanted: Collection[str]) -> Iterator[Finding]:
    for rule in RULES:
        if rule.code in wanted:
            for hit in rule.check(case):
                yield Finding(rule.code, rule.severity, hit.name, hit.message, hit.node.where, hit.facts)
