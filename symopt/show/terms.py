"""Expressions as people read them, and their rewriting by patterns. Equal expressions are one object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Rules = tuple[tuple[Any, Any], ...]


class Term:
    """`op` applied to `args`. Made by `term` alone, so that equality is identity.

    Leaves have a `value`: the name of an `input` (an array at the start of the step), of a `new` value (an output), of
    an `attr`, of a `named` line, or a `number`.
    """

    __slots__ = ("args", "op", "value")

    def __init__(self, op: str, args: tuple[Term, ...], value: str | float | None) -> None:
        self.op = op
        self.args = args
        self.value = value

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.args)) if self.value is None else repr(self.value)
        return f"{self.op}({inside})"


_TERMS: dict[tuple[Any, ...], Term] = {}


def term(op: str, *args: Term, value: str | float | None = None) -> Term:
    """The term, always the same object for the same operator and arguments."""
    key = (op, tuple(map(id, args)), value)
    found = _TERMS.get(key)
    return found if found is not None else _TERMS.setdefault(key, Term(op, args, value))


def number(value: float) -> Term:
    """A number; below zero it is the negation of one, as it would be written."""
    return term("neg", number(-value)) if value < 0 else term("number", value=float(value))


def number_of(t: Term) -> float | None:
    """The number that a term is, if it is one."""
    if t.op == "neg":
        inner = number_of(t.args[0])
        return None if inner is None else -inner
    return t.value if t.op == "number" and isinstance(t.value, float) else None


def in_order(roots: Iterable[Term]) -> list[Term]:
    """Every term under `roots` once, arguments first."""
    done: dict[Term, None] = {}

    def visit(t: Term) -> None:
        if t not in done:
            for x in t.args:
                visit(x)
            done[t] = None

    for root in roots:
        visit(root)
    return list(done)


def rebuilt(
    roots: Iterable[Term], made: dict[Term, Term], clean: Callable[[Term], Term] = lambda t: t
) -> list[Term]:
    """The roots again, with what `made` says replaced, and `clean` applied to every other term, arguments first.

    `made` gains what every term has become.
    """

    def become(t: Term) -> Term:
        if t not in made:
            args = tuple(map(become, t.args))
            made[t] = clean(term(t.op, *args, value=t.value))
        return made[t]

    return [become(root) for root in roots]


def rewritten(t: Term, rules: Mapping[str, Rules]) -> Term:
    """The term after the first rule that fits, if any; `rules` by the operator they rewrite."""
    for pattern, result in rules.get(t.op, ()):
        bound: dict[str, Term] = {}
        if _matches(pattern, t, bound):
            return _made(result, bound)
    return t


def by_operator(rules: Rules) -> dict[str, Rules]:
    """The rules for each operator, in their order."""
    return {op: tuple(r for r in rules if r[0][0] == op) for op in {pattern[0] for pattern, _ in rules}}


def _matches(pattern: Any, t: Term, bound: dict[str, Term]) -> bool:
    if isinstance(pattern, str):
        return bound.setdefault(pattern, t) is t
    if isinstance(pattern, float):
        return number_of(t) == pattern
    return (
        t.op == pattern[0]
        and len(t.args) == len(pattern) - 1
        and all(_matches(p, x, bound) for p, x in zip(pattern[1:], t.args))
    )


def _made(result: Any, bound: Mapping[str, Term]) -> Term:
    if isinstance(result, str):
        return bound[result]
    if isinstance(result, float):
        return number(result)
    return term(result[0], *(_made(r, bound) for r in result[1:]))
