"""What rules and functions do in this process, in words: another version of them has other words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from types import CodeType
from typing import Any

from ..attrs import REQUIRED
from ..opdef import OpDef
from ..show.formula import formula_of
from ..show.terms import Term, in_order


def formula_lines(op: OpDef, flags: Mapping[str, Any]) -> list[str]:
    """An update op as text: what it takes and gives, and each operation of its formula under these flags, on a line of
    its own. Two ops with the same text do the same to every row.

    >>> from symopt.opdef import OPS
    >>> formula_lines(OPS["sgd_update"], {})[-3:]
    ['%10 = mul %1 %9', '%11 = sub %0 %10', 'weight = %11']
    """
    known = tuple(sorted((name, value) for name, value in flags.items() if name in op.attrs))
    return list(_lines(op, known))


@cache
def _lines(op: OpDef, flags: tuple[tuple[str, Any], ...]) -> tuple[str, ...]:
    found = [f"input {i.name}: {i.kind}" for i in op.inputs]
    found += [
        f"attribute {a.name} = {'given' if a.default is REQUIRED else repr(a.default)}"
        for a in op.attrs.values()
    ]
    outputs = formula_of(op, dict(flags)).outputs
    numbers: dict[Term, str] = {}
    for k, term in enumerate(in_order(outputs.values())):
        numbers[term] = f"%{k}"
        said = [term.op, *(numbers[arg] for arg in term.args)]
        said += [] if term.value is None else [repr(term.value)]
        found.append(f"%{k} = {' '.join(said)}")
    return (*found, *(f"{name} = {numbers[term]}" for name, term in outputs.items()))


def code_digest(function: Callable[..., Any]) -> str | None:
    """A few letters that are others if the function's own code is; None for one that is not written in Python."""
    code = getattr(function, "__code__", None)
    return None if code is None else hashlib.sha256(repr(_said(code)).encode()).hexdigest()[:16]


def _said(code: CodeType) -> tuple[Any, ...]:
    constants = [_said(x) if isinstance(x, CodeType) else x for x in code.co_consts]
    kept = [
        sorted(map(repr, x)) if isinstance(x, frozenset) else x for x in constants
    ]  # whose order is by chance
    return code.co_code, kept, code.co_names, code.co_varnames
