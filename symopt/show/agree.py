"""Which ops say the same, once inputs, states and attributes are called alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, islice, permutations, product
from typing import Any, NamedTuple

from ..attrs import REQUIRED
from ..expr import Extent
from ..opdef import STATE_KINDS, OpDef, all_ops
from ..shapes import reach
from .canonical import canonical, ordered
from .formula import OFF, Formula, flags, formula_of, neutral_values
from .terms import Term, rebuilt, term

MOST = 12  # ways to pair attributes that are tried
SAME, ROUNDED, DIFFERENT = "the same operations", "the same but for rounding", "different"


class Roles(NamedTuple):
    """What the second op's inputs and attributes are called in the first. `guesses`: how many of the pairs were chosen
    where one op had more attributes left than the other."""

    inputs: Mapping[str, str]
    attrs: Mapping[str, str]
    guesses: int = 0


class Agreement(NamedTuple):
    """An op that says the same as another where the attributes `at` of that one, and `own_at` of its own, are so.

    `verdict`: SAME or ROUNDED; `renamed`: (that one's name, its own) of attributes and states called otherwise;
    `same_rows`: whether rows without gradient of a row_sparse one fare alike by default.
    """

    op: OpDef
    verdict: str
    at: Mapping[str, Any]
    own_at: Mapping[str, Any]
    renamed: tuple[tuple[str, str], ...]
    same_rows: bool


def agreements(op: OpDef) -> list[Agreement]:
    """Every other registered update op that says the same, perhaps with attributes that only one of them has, then
    clips, then decay left out."""
    if not op.is_update or op.is_variadic:
        return []
    others = [x for x in all_ops() if x.is_update and not x.is_variadic and x is not op]
    return [found for other in others if (found := agreement(op, other)) is not None]


def agreement(first: OpDef, second: OpDef) -> Agreement | None:
    """How two ops agree, with as little as possible left out; None if they do not."""
    if first.gives != second.gives or sorted(i.kind for i in first.inputs) != sorted(
        i.kind for i in second.inputs
    ):
        return None
    options = list(roles(first, second))
    for level in range(3):
        for role in options:
            at, own_at = conditions(first, second, role, level)
            verdict = _verdict_at(first, second, role, at, own_at)
            if verdict != DIFFERENT:
                _put_back(first, second, role, at, own_at, verdict)
                pairs = [*role.inputs.items(), *role.attrs.items()]
                names = tuple((new, old) for old, new in pairs if new != old)
                return Agreement(
                    second, verdict, at, own_at, names, _rows(first, {}) == _rows(second, role.inputs)
                )
    return None


def _verdict_at(
    first: OpDef, second: OpDef, role: Roles, at: Mapping[str, Any], own_at: Mapping[str, Any]
) -> str:
    a, b = formula_of(first, at), formula_of(second, own_at)
    names = {"input": role.inputs, "attr": role.attrs}
    if a.leaves != {(op, names[op].get(name, name)) for op, name in b.leaves}:
        return DIFFERENT  # at once: few pairs read the same
    return formulas_agree(a, renamed(b, role))


def _put_back(
    first: OpDef, second: OpDef, role: Roles, at: dict[str, Any], own_at: dict[str, Any], verdict: str
) -> None:
    """Take out of `at` and `own_at` what both ops have and need not leave out to agree."""
    for theirs, ours in role.attrs.items():
        if ours in at and theirs in own_at:
            less, own_less = (
                {n: v for n, v in d.items() if n != name} for d, name in ((at, ours), (own_at, theirs))
            )
            if _verdict_at(first, second, role, less, own_less) == verdict:
                del at[ours], own_at[theirs]


def roles(first: OpDef, second: OpDef) -> Iterator[Roles]:
    """Ways to match inputs and attributes, the likeliest first: by name, then what is left in order."""
    for states in _states(first, second):
        inputs = {**_inputs(first, second), **states}
        by_name = {n: n for n in second.attrs if n in first.attrs}
        for further, guesses in _further(first, second):
            yield Roles(inputs, {**by_name, **further}, guesses)
        yield Roles(inputs, by_name)


def _inputs(first: OpDef, second: OpDef) -> dict[str, str]:
    """Tensors and scalars: by name, the rest by position."""
    pairs: dict[str, str] = {}
    for kind in ("matrix", "tensor", "scalar", "condition", "master"):
        ours, theirs = ([i.name for i in op.inputs if i.kind == kind] for op in (first, second))
        pairs |= {n: n for n in theirs if n in ours}
        left = [n for n in ours if n not in pairs.values()]
        pairs |= dict(zip([n for n in theirs if n not in pairs], left))
    return pairs


def _states(first: OpDef, second: OpDef) -> Iterator[dict[str, str]]:
    """States of one kind in any order: first by name and, of the rest, by position."""
    ours, theirs = ([i for i in op.inputs if i.kind in STATE_KINDS] for op in (first, second))
    likely: dict[str, str] = {}
    for kind in STATE_KINDS:
        mine, other = ([i.name for i in states if i.kind == kind] for states in (ours, theirs))
        named = {n: n for n in other if n in mine}
        left = [n for n in mine if n not in named]
        likely |= named | dict(zip([n for n in other if n not in named], left))
    yield likely
    kind_of = {i.name: i.kind for i in ours}
    for order in permutations(ours if len(ours) == len(theirs) <= 4 else ()):
        found = {t.name: o.name for t, o in zip(theirs, order)}
        if found and found != likely and all(kind_of[found[t.name]] == t.kind for t in theirs):
            yield found


def _further(first: OpDef, second: OpDef) -> Iterator[tuple[dict[str, str], int]]:
    """Attributes called otherwise: those that each has left, by kind and in order; if one has more, any of them."""
    ways, guesses = [], 0
    for kind in ("integer", "float", "switch"):
        ours, theirs = (_left(op, other, kind) for op, other in ((first, second), (second, first)))
        count = min(len(ours), len(theirs))
        guesses += count if len(ours) != len(theirs) else 0
        pairs = product(combinations(theirs, count), combinations(ours, count))
        ways.append([dict(zip(x, y)) for x, y in pairs])
    for parts in islice(product(*ways), MOST):
        if any(parts):
            yield {theirs: ours for part in parts for theirs, ours in part.items()}, guesses


def _left(op: OpDef, other: OpDef, kind: str) -> list[str]:
    neutral = neutral_values(op)
    return [
        n
        for n, a in op.attrs.items()
        if n not in other.attrs
        and kind == ("switch" if a.switch else a.kind)
        and (a.switch or n not in neutral)
    ]


def conditions(
    first: OpDef, second: OpDef, role: Roles, level: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of attributes for a comparison: defaults of those that one op alone has; flags both have as the first has
    them; at level 1 no clips and bounds, at level 2 nothing that can be neutral."""
    at = {n: v for n, v in _defaults(first).items() if n not in role.attrs.values()}
    own_at = {n: v for n, v in _defaults(second).items() if n not in role.attrs}
    for flag in flags(second):
        if flag.name in role.attrs and flag.default != first.attrs[role.attrs[flag.name]].default:
            own_at[flag.name] = first.attrs[role.attrs[flag.name]].default
    for op, values in ((first, at), (second, own_at)):
        neutral = neutral_values(op) if level else {}
        values.update({n: v for n, v in neutral.items() if level == 2 or op.attrs[n].switch})
    return at, own_at


def _defaults(op: OpDef) -> dict[str, Any]:
    """Defaults of the numeric attributes that have one, off for clips."""
    numeric = [op.attrs[n] for n in op.numeric if n in op.keywords and op.attrs[n].default is not REQUIRED]
    return {a.name: OFF if a.switch and a.default < 0 else a.default for a in numeric}


def renamed(formula: Formula, role: Roles) -> Formula:
    """The second op's formula in the first's names."""
    made: dict[Term, Term] = {}
    for op, names in (("input", role.inputs), ("attr", role.attrs)):
        made |= {term(op, value=old): term(op, value=new) for old, new in names.items()}
    roots = rebuilt(formula.outputs.values(), made)
    names_in = {made[t]: name for t, name in formula.names.items() if t in made and made[t].args}
    outputs = {role.inputs.get(n, n): t for n, t in zip(formula.outputs, roots)}
    return formula._replace(outputs=outputs, names=names_in)


def verdict_of(a: Term, b: Term) -> str:
    """How alike two terms are."""
    if ordered(a) is ordered(b):
        return SAME
    return ROUNDED if canonical(a) is canonical(b) else DIFFERENT


def formulas_agree(first: Formula, second: Formula) -> str:
    """How alike two formulas in the same names are: as their least alike outputs."""
    if set(first.outputs) != set(second.outputs):
        return DIFFERENT
    worst = SAME
    for name, t in first.outputs.items():
        found = verdict_of(t, second.outputs[name])
        if found == DIFFERENT:
            return DIFFERENT
        worst = ROUNDED if ROUNDED in (found, worst) else SAME
    return worst


def _rows(op: OpDef, names: Mapping[str, str]) -> Any:
    """How the outputs treat rows that a row_sparse gradient does not list, by default."""
    if reach(op, structural_defaults(op)) == Extent.TENSOR or not op.attrs["lazy_update"].default:
        return "dense"
    return frozenset(names.get(n, n) for n in op.standard)


def structural_defaults(op: OpDef) -> tuple[tuple[str, Any], ...]:
    """The attributes that decide what is computed, at their defaults, as the engine's passes take them."""
    found = {n: op.attrs[n].default for n in op.structural}
    return tuple((n, False if v is REQUIRED or op.attrs[n].kind == "axis" else v) for n, v in found.items())
