"""Two ops compared: inputs, attributes and defaults, formulas line by line, and what they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..attrs import REQUIRED
from ..opdef import STORAGE_ATTRS, OpDef
from .agree import DIFFERENT, ROUNDED, SAME, Roles, conditions, formulas_agree, renamed, roles, verdict_of
from .canonical import canonical
from .formula import Formula, formula_of
from .maths import UNICODE, write
from .sheet import shown
from .terms import Term, in_order, rebuilt, term
from .trajectory import ACTIVE, Trajectory, trajectory

SUMS, PRODUCTS = ("add", "sub"), ("mul", "div")


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
    name and default of the others; `at`, `second_at`: values under which formulas are compared; `is_same`: whether they
    say the same, apart from rounding; `trajectory`: with equal attributes, those `trajectory_at`; `own_trajectory`: with
    each op's own defaults.
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
    """The way to match states and attributes that makes most lines equal."""

    def fit(role: Roles) -> tuple[int, int]:
        without, as_is = (_equal_outputs(first, second, role, level) for level in (2, 0))
        return without, as_is

    return max(roles(first, second), key=fit)


def _equal_outputs(first: OpDef, second: OpDef, role: Roles, level: int) -> int:
    at, own_at = conditions(first, second, role, level)
    a, b = formula_of(first, at), renamed(formula_of(second, own_at), role)
    return sum(verdict_of(t, b.outputs[n]) != DIFFERENT for n, t in a.outputs.items() if n in b.outputs)


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
    cut = {parts[n]: term("new" if n in formula.outputs else "named", value=n) for n in names if parts[n].args}
    root = parts[name]
    return rebuilt([root], {t: new for t, new in cut.items() if t is not root})[0]


def marked(a: Term, b: Term) -> tuple[Term, Term]:
    """Both terms with the smallest parts that differ marked. Sums and products are matched item by item."""
    if verdict_of(a, b) != DIFFERENT:
        return a, b
    for found in (all, any):
        for chain in (SUMS, PRODUCTS):
            if found(t.op in chain for t in (a, b)):
                return _marked_chain(a, b, chain)
    if a.op != b.op or len(a.args) != len(b.args) or not a.args:
        return _mark(a), _mark(b)
    pairs = [marked(x, y) for x, y in zip(a.args, b.args)]
    return term(a.op, *(x for x, _ in pairs)), term(b.op, *(y for _, y in pairs))


def _mark(t: Term) -> Term:
    return term("marked", t)


Item = tuple[int, Term]  # +1 or -1: added or subtracted, multiplied or divided by


def _marked_chain(a: Term, b: Term, chain: tuple[str, ...]) -> tuple[Term, Term]:
    ours, theirs = _items(a, chain, 1), _items(b, chain, 1)
    left, right = list(range(len(ours))), list(range(len(theirs)))
    for i in list(left):
        for j in right:
            if ours[i][0] == theirs[j][0] and verdict_of(ours[i][1], theirs[j][1]) != DIFFERENT:
                left.remove(i)
                right.remove(j)
                break
    if len(left) == len(ours) and len(right) == len(theirs):
        return _mark(a), _mark(b)
    new_left, new_right = {i: _mark(ours[i][1]) for i in left}, {j: _mark(theirs[j][1]) for j in right}
    for i, j in _alike([(i, *ours[i]) for i in left], [(j, *theirs[j]) for j in right]):
        new_left[i], new_right[j] = marked(ours[i][1], theirs[j][1])
    return _with_items(a, chain, new_left), _with_items(b, chain, new_right)


def _alike(left: list[tuple[int, int, Term]], right: list[tuple[int, int, Term]]) -> Iterator[tuple[int, int]]:
    """Items that differ but play the same part: one left on either side with one sign."""
    for sign in (1, -1):
        ours, theirs = ([k for k, s, _ in side if s == sign] for side in (left, right))
        if len(ours) == len(theirs) == 1:
            yield ours[0], theirs[0]


def _items(t: Term, chain: tuple[str, ...], sign: int) -> list[Item]:
    if t.op not in chain:
        return [(sign, t)]
    x, y = t.args
    return _items(x, chain, sign) + _items(y, chain, sign if t.op == chain[0] else -sign)


def _with_items(t: Term, chain: tuple[str, ...], new: Mapping[int, Term]) -> Term:
    """The term with some of its items, by number, replaced."""
    count = -1

    def walk(t: Term) -> Term:
        nonlocal count
        if t.op in chain:
            return term(t.op, *map(walk, t.args))
        count += 1
        return new.get(count, t)

    return walk(t)


# ---- text


def _text(d: Difference) -> Iterator[str]:
    yield f"{d.first} and {d.second}"
    yield ""
    yield f"inputs      {', '.join(a if a == b else f'{a} ({b})' for a, b in d.inputs)}"
    for op, names in ((d.first, d.only_first_inputs), (d.second, d.only_second_inputs)):
        if names:
            yield f"            only {op}: {', '.join(names)}"
    label = "attributes  "
    for x in d.attributes:
        other = f" ({x.second_name})" if x.second_name != x.name else ""
        yield f"{label}{x.name}{other}: {x.first} and {x.second}" if x.first != x.second else f"{label}{x.name}{other}"
        label = " " * 12
    for op, only, at in ((d.first, d.only_first, d.at), (d.second, d.only_second, d.second_at)):
        if only:
            yield f"{label}only {op}: {', '.join(f'{n} {v}' for n, v in only.items())}"
            label = " " * 12
    yield ""
    yield "formulas, in the names of the first, with what only one has at its default"
    width = max(len(d.first), len(d.second))
    for line in d.lines:
        yield f"  {line.name} {'is ' * (line.verdict == DIFFERENT)}{line.verdict}"
        if line.verdict == SAME:
            yield f"    {line.first}"
        else:
            yield f"    {d.first:<{width}}  {line.first}"
            yield f"    {d.second:<{width}}  {line.second}"
    at = ", ".join(f"{n} {v}" for n, v in d.trajectory_at.items())
    yield ""
    for title, run in ((f"equal attributes{at and f' ({at})'}", d.trajectory), ("their defaults", d.own_trajectory)):
        if run:
            yield f"on random gradients, with {title}: {run}"
