"""What a rule found, and how findings that say the same are told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import Where, built_at

Severity = Literal["warning", "note"]  # usually wrong; legal, and worth a look
NAMED = 3  # of the nodes that have a finding in common, so many are named


@dataclass(frozen=True)
class Finding:
    """One thing that is legal and usually wrong. Prints as a line, and where the node was built.

    `node`: the name of the first node it was found at, `where` the user's line that built it. `facts`: the numbers and
    names behind the message; `count` of them are told together, the first few are in `nodes`.

    >>> print(Finding("SO202", "warning", "fc1", "lr = -0.1 is negative", None))
    SO202 warning: 'fc1': lr = -0.1 is negative
    """

    code: str
    severity: Severity
    node: str
    message: str
    where: Where | None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many nodes have it."""
        return int(self.facts.get("count", 1))

    def __str__(self) -> str:
        more = ""
        if self.count > 1:
            others = [repr(name) for name in self.facts["nodes"][1:]]
            rest = self.count - 1 - len(others)
            more = f" (so do {', '.join(others)}{f' and {rest:,} more' if rest else ''})"
        return f"{self.code} {self.severity}: {self.node!r}: {self.message}{more}{built_at(self.where)}"


def folded(findings: Iterable[Finding]) -> list[Finding]:
    """Findings of one code and one message as one, with their number; in order of code, then of first occurrence."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for found in findings:
        groups.setdefault((found.code, found.message), []).append(found)
    return sorted(map(_together, groups.values()), key=lambda found: found.code)


def _together(group: list[Finding]) -> Finding:
    first = group[0]
    names = list(dict.fromkeys(found.node for found in group))
    if len(names) == 1:
        return first
    facts = {**first.facts, "count": len(names), "nodes": tuple(names[:NAMED])}
    return Finding(first.code, first.severity, first.node, first.message, first.where, facts)


def without(findings: Iterable[Finding], stronger: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    """The findings, but those of a node that has a finding of a `stronger` code: the two have one cause."""
    found = list(findings)
    at = {(one.code, one.node) for one in found}
    return (one for one in found if not any((code, one.node) in at for code in stronger.get(one.code, ())))
