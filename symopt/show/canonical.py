"""One way to write a term, so that terms equal by algebra are one object: a sum of products of powers of other terms.

Algebra of real numbers, with every root taken of a number >= 0: two terms found equal here may differ by rounding.
"""

from __future__ import annotations

import math
from collections import defaultdict
from fractions import Fraction
from functools import cache, reduce

from .terms import Term, number, number_of, term

Monomial = frozenset[tuple[Term, int]]  # what is multiplied, and how often: -1 divides
Polynomial = dict[Monomial, Fraction]

ONE: Monomial = frozenset()
COMMUTATIVE = ("add", "mul", "max", "min", "eq", "ne", "and", "or")
LARGEST = 300  # products of sums with more terms than that stay products
POWERS = (2.0, 3.0, 4.0)


@cache
def canonical(t: Term) -> Term:
    """The term as it is always written."""
    return _written(_polynomial(t))


@cache
def ordered(t: Term) -> Term:
    """The same operations, with the operands of those that are commutative in one order: no rounding differs."""
    args = [ordered(x) for x in t.args]
    if t.op in COMMUTATIVE:
        args.sort(key=id)
    return term(t.op, *args, value=t.value)


def _written(p: Polynomial) -> Term:
    """A polynomial as a term: the atom itself, if it is just one."""
    if len(p) == 1:
        ((monomial, factor),) = p.items()
        if factor == 1 and len(monomial) == 1:
            ((atom, power),) = monomial
            if power == 1:
                return atom
    products = [term("*", number(float(p[m])), *_factors(m)) for m in sorted(p, key=_order)]
    return term("+", *products)


def _factors(monomial: Monomial) -> list[Term]:
    return [
        term("^", atom, number(power)) for atom, power in sorted(monomial, key=lambda f: (id(f[0]), f[1]))
    ]


def _order(monomial: Monomial) -> list[tuple[int, int]]:
    return sorted((id(atom), power) for atom, power in monomial)


@cache
def _polynomial(t: Term) -> Polynomial:
    value = number_of(t)
    if value is not None:
        return {ONE: Fraction(value)} if math.isfinite(value) and value else {} if value == 0 else _atom(t)
    parts = [_polynomial(x) for x in t.args]
    if t.op in ("add", "sub"):
        return _sum(parts[0], parts[1], 1 if t.op == "add" else -1)
    if t.op == "neg":
        return _sum({}, parts[0], -1)
    if t.op in ("mul", "div", "square"):
        other = _inverse(parts[1]) if t.op == "div" else parts[-1]
        return _product(parts[0], other)
    if t.op == "pow" and number_of(t.args[1]) in POWERS:
        return reduce(_product, [parts[0]] * int(number_of(t.args[1]) or 0))
    if t.op == "lerp":
        start, end, weight = parts
        return _sum(start, _product(weight, _sum(end, start, -1)), 1)
    if t.op == "sqrt":
        return _root(parts[0])
    return _atom(ordered(term(t.op, *map(_written, parts), value=t.value)))


def _atom(t: Term, power: int = 1) -> Polynomial:
    return {frozenset([(t, power)]): Fraction(1)}


def _sum(p: Polynomial, q: Polynomial, sign: int) -> Polynomial:
    total = defaultdict(Fraction, p)
    for monomial, factor in q.items():
        total[monomial] += sign * factor
    return {monomial: factor for monomial, factor in total.items() if factor}


def _product(p: Polynomial, q: Polynomial) -> Polynomial:
    if len(p) * len(q) > LARGEST:
        p, q = _atom(_written(p)), _atom(_written(q))
    total: defaultdict[Monomial, Fraction] = defaultdict(Fraction)
    for a, x in p.items():
        for b, y in q.items():
            powers = defaultdict(int, a)
            for atom, power in b:
                powers[atom] += power
            total[frozenset((atom, power) for atom, power in powers.items() if power)] += x * y
    return {monomial: factor for monomial, factor in total.items() if factor}


def _inverse(p: Polynomial) -> Polynomial:
    """1 / p. A sum is divided by its first factor, so that it is the same whatever it was multiplied with."""
    if not p:
        return _atom(term("div", number(1), number(0)))
    first = min(p, key=_order)
    if len(p) == 1:
        return {frozenset((atom, -power) for atom, power in first): 1 / p[first]}
    scaled = {monomial: factor / p[first] for monomial, factor in p.items()}
    return {frozenset([(_written(scaled), -1)]): 1 / p[first]}


def _root(p: Polynomial) -> Polynomial:
    """sqrt(p): of a product, the product of the roots."""
    if len(p) != 1:
        return _atom(term("sqrt", _written(p)))
    ((monomial, factor),) = p.items()
    roots = [_atom(term("sqrt", _written({frozenset([(a, abs(e))]): Fraction(1)})), 1 if e > 0 else -1)
             for a, e in monomial]  # fmt: skip
    if factor != 1:
        roots.append(_atom(term("sqrt", number(float(factor)))))
    return reduce(_product, roots, {ONE: Fraction(1)})
