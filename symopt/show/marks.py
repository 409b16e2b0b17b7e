"""Two terms side by side: the smallest parts in which they differ are marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .agree import DIFFERENT, verdict_of
from .terms import Term, in_order, term

SUMS, PRODUCTS = ("add", "sub"), ("mul", "div")
Item = tuple[int, Term]  # +1 or -1: added or subtracted, multiplied or divided by


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


def size_of_marks(*terms: Term) -> int:
    """How many operations and leaves are marked."""
    return sum(len(in_order([t])) for t in in_order(terms) if t.op == "marked")


def _mark(t: Term) -> Term:
    return term("marked", t)


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


def _alike(
    left: list[tuple[int, int, Term]], right: list[tuple[int, int, Term]]
) -> Iterator[tuple[int, int]]:
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
