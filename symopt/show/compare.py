"""Two ops compared: inputs, attributes and defaults, formulas line by line, and what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..opdef import STORAGE_ATTRS, OpDef
from .agree import DIFFERENT, ROUNDED, SAME, Roles, conditions, formulas_agree, renamed, roles, verdict_of
from .canonical import canonical
from .formula import Formula, formula_of
from .marks import marked, size_of_marks
from .maths import UNICODE, write
from .sheet import shown
from .terms import Term, in_order, rebuilt, term
from .trajectory import ACTIVE, Trajectory, trajectory


class AttributeDifference(NamedTuple):
    """An attribute that both ops have, whose default or name differs."""

    name: str
    second_name: str
    first: str
    second: str


class LineDifference(NamedTuple):
    """One value in both ops, in the first's names and in terms of the other lines; parts that differ stand in ⟦⟧.

    `name`: of an output with a prime, as the formulas write it; else of a value that both authors call so.
    """

    name: str
    verdict: str
    first: str
    second: str


@dataclass(frozen=True)
class Difference:
    """What `rules.diff` found; `str` says it for people.

    `inputs`: pairs of (first's name, second's); `attributes`: those both have that differ; `only_first`, `only_second`:
    name and default of the others; `at`, `second_at`: values under which formulas are compared; `is_same`: whether
    they say the same, apart from rounding; `trajectory`: with equal attributes, `trajectory_at` among them;
    `own_trajectory`: with each op's own defaults.
    """

    first: str
    second: str
    inputs: tuple[tuple[str, str], ...]
    only_first_inputs: tuple[str, ...]
    only_second_inputs: tuple[str, ...]
    attributes: tuple[AttributeDifference, ...]
    only_first: Mapping[str, str]
    only_second: Mapping[str, str]
    at: Mapping[str, Any]
    second_at: Mapping[str, Any]
    is_same: bool
    lines: tuple[LineDifference, ...]
    trajectory_at: Mapping[str, Any]
    trajectory: Trajectory | None
    own_trajectory: Trajectory | None

    def __str__(self) -> str:
        return "\n".join(_text(self))


def difference(
    first: OpDef, second: OpDef, steps: int = 100, seed: int = 0, at: Mapping[str, Any] | None = None
) -> Difference:
    """The comparison of two update ops, in the first's names; `at` sets attributes of both."""
    given = dict(at or {})
    role = _best(first, second)
    values, second_values = conditions(first, second, role)
    values |= {n: v for n, v in given.items() if n in first.attrs}
    second_values |= {n: given[role.attrs.get(n, n)] for n in second.attrs if role.attrs.get(n, n) in given}
    a, b = formula_of(first, values), renamed(formula_of(second, second_values), role)
    attributes = tuple(_attributes(first, second, role))
    runs = not (first.is_variadic or second.is_variadic) and first.gives == second.gives

    active = {n: v for n, v in ACTIVE.items() if n in role.attrs.values()} | given

    def run(own: bool) -> Trajectory:
        return trajectory(first, second, role, steps, seed, own, given if own else active)

    return Difference(
        first=first.name,
        second=second.name,
        inputs=tuple((ours, theirs) for theirs, ours in role.inputs.items()),
        only_first_inputs=tuple(n for n in first.input_names() if n not in role.inputs.values()),
        only_second_inputs=tuple(n for n in second.input_names() if n not in role.inputs),
        attributes=attributes,
        only_first=_only(first, set(role.attrs.values())),
        only_second=_only(second, set(role.attrs)),
        at={n: v for n, v in values.items() if n in a.op.keywords},
        second_at=second_values,
        is_same=formulas_agree(a, b) != DIFFERENT,
        lines=tuple(_lines(a, b)),
        trajectory_at=active,
        trajectory=run(False) if runs else None,
        own_trajectory=run(True) if runs else None,
    )


def _best(first: OpDef, second: OpDef) -> Roles:
    """The way to match states and attributes that leaves least to differ."""

    def fit(role: Roles) -> tuple[int, ...]:
        plain = [verdict_of(x, y) != DIFFERENT for x, y in _pairs(first, second, role, 2)]
        differing = sum(size_of_marks(*marked(x, y)) for x, y in _pairs(first, second, role, 0))
        return sum(plain), -differing, -role.guesses, len(role.attrs)

    return max(roles(first, second), key=fit)


def _pairs(first: OpDef, second: OpDef, role: Roles, level: int) -> list[tuple[Term, Term]]:
    """The outputs that both have, in the first's names."""
    at, own_at = conditions(first, second, role, level)
    a, b = formula_of(first, at), renamed(formula_of(second, own_at), role)
    return [(t, b.outputs[n]) for n, t in a.outputs.items() if n in b.outputs]


def _attributes(first: OpDef, second: OpDef, role: Roles) -> Iterator[AttributeDifference]:
    for theirs, ours in role.attrs.items():
        a, b = shown(first.attrs[ours]), shown(second.attrs[theirs])
        if a != b or ours != theirs:
            yield AttributeDifference(ours, theirs, a, b)


def _only(op: OpDef, both: set[str]) -> dict[str, str]:
    storage = {a.name for a in STORAGE_ATTRS}
    return {n: shown(a) for n, a in op.attrs.items() if n not in both and n not in storage}


# ---- formulas


def _lines(a: Formula, b: Formula) -> Iterator[LineDifference]:
    """Values that both authors call alike, then outputs, each in terms of the others."""
    ours, theirs = _parts(a), _parts(b)
    both = {n: t for n, t in ours.items() if n in theirs and (n in a.outputs) == (n in b.outputs)}
    for name in both:
        x, y = _cut(ours, name, both, a), _cut(theirs, name, both, b)
        verdict = verdict_of(x, y)
        if verdict == DIFFERENT and canonical(ours[name]) is canonical(theirs[name]):
            verdict = ROUNDED
        if verdict == DIFFERENT:
            x, y = marked(x, y)
        yield LineDifference(name + "'" * (name in a.outputs), verdict, write(x, UNICODE), write(y, UNICODE))


def _parts(formula: Formula) -> dict[str, Term]:
    """Named values and outputs in the order that they can be computed in, the result last."""
    named = Counter(formula.names.values())
    outputs = [*list(formula.outputs.items())[1:], *list(formula.outputs.items())[:1]]
    found = {n: t for t, n in formula.names.items() if named[n] == 1 and n not in formula.outputs}
    found.update(outputs)
    place = {t: k for k, t in enumerate(in_order(t for _, t in outputs))}
    return {n: t for n, t in sorted(found.items(), key=lambda part: place.get(part[1], -1)) if t in place}


def _cut(parts: Mapping[str, Term], name: str, names: Iterable[str], formula: Formula) -> Term:
    """A part in terms of the others of these names."""
    cut = {
        parts[n]: term("new" if n in formula.outputs else "named", value=n) for n in names if parts[n].args
    }
    root = parts[name]
    return rebuilt([root], {t: new for t, new in cut.items() if t is not root})[0]


# ---- text


def _text(d: Difference) -> Iterator[str]:
    yield f"{d.first} and {d.second}"
    yield ""
    yield from _column("inputs", _input_rows(d))
    yield from _column("attributes", _attribute_rows(d))
    yield ""
    alone = ", with what one alone has at its default" if d.only_first or d.only_second else ""
    yield f"formulas in the names of the first{alone}"
    width = max(len(d.first), len(d.second))
    for line in d.lines:
        yield f"  {line.name}: {line.verdict}"
        if line.verdict == SAME:
            yield f"    {line.first}"
        else:
            yield f"    {d.first:<{width}}  {line.first}"
            yield f"    {d.second:<{width}}  {line.second}"
    if d.trajectory and d.own_trajectory:
        at = ", ".join(f"{n} {v}" for n, v in d.trajectory_at.items())
        yield ""
        yield f"on random gradients, equal attributes{at and f' ({at})'}: {d.trajectory}"
        yield f"on random gradients, their own defaults: {d.own_trajectory}"


def _column(label: str, rows: Iterable[str]) -> Iterator[str]:
    for k, row in enumerate(rows):
        yield f"{label if k == 0 else '':<12}{row}"


def _input_rows(d: Difference) -> Iterator[str]:
    yield ", ".join(a if a == b else f"{a} ({b})" for a, b in d.inputs)
    for op, names in ((d.first, d.only_first_inputs), (d.second, d.only_second_inputs)):
        if names:
            yield f"only {op}: {', '.join(names)}"


def _attribute_rows(d: Difference) -> Iterator[str]:
    for x in d.attributes:
        name = x.name if x.name == x.second_name else f"{x.name} ({x.second_name})"
        yield name if x.first == x.second else f"{name}: {x.first} and {x.second}"
    for op, only in ((d.first, d.only_first), (d.second, d.only_second)):
        if only:
            yield f"only {op}: {', '.join(f'{n} {v}' for n, v in only.items())}"
