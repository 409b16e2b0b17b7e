"""A formula line by line: values in between that have a name, then the outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from .formula import Formula
from .terms import Term, in_order, rebuilt, term


class Line(NamedTuple):
    """`name` is `value`: the new value of the weight or a state (`is_new`), or another. Lines above are in `value` as
    `named` and `new`."""

    name: str
    value: Term
    is_new: bool


def lines_of(formula: Formula) -> tuple[Line, ...]:
    """The formula in the order it can be computed in."""
    op = formula.op
    changing = {i.name for i in op.inputs} if op.is_update else set()
    taken = {*op.input_names(), *op.attrs, *formula.outputs}
    return cut_lines(formula.outputs, formula.names, taken, changing)


def cut_lines(
    found: Mapping[str, Term], author: Mapping[Term, str], taken: Collection[str], changing: Collection[str]
) -> tuple[Line, ...]:
    """Outputs by name as lines, the first output last. `author`: names that values were given; `taken`: names that no
    value in between may have; `changing`: outputs that are new values.

    A value has a line if its author gave it a name, if it is read more than once and takes more than one operation, and
    if it is a choice inside something else.
    """
    last = next(iter(found), "")
    outputs = {n: t for n, t in found.items() if n != last} | {n: t for n, t in found.items() if n == last}
    targets = {t: name for name, t in reversed(outputs.items()) if t.args}
    order = in_order(outputs.values())
    uses = Counter(x for t in order for x in t.args)
    names = Namer("x", taken)
    nested = {x for t in order for x in t.args if x.op == "where"}
    cut: dict[Term, Term] = {}
    work: dict[Term, int] = {}
    lines: list[Line] = []
    for t in order:
        work[t] = sum(work[x] for x in t.args) + (bool(t.args) and t.op != "neg")
        if t in targets:
            lines.append(Line(targets[t], _written(t, cut), targets[t] in changing))
            cut[t] = term("new" if lines[-1].is_new else "named", value=targets[t])
        elif t.args and (t in author or (uses[t] > 1 and work[t] > 1) or (t in nested and work[t] > 3)):
            name = names.make(author.get(t, ""))
            lines.append(Line(name, _written(t, cut), False))
            cut[t] = term("named", value=name)
        work[t] = 0 if t in cut else work[t]
    written = {line.name for line in lines}
    lines += [Line(n, cut.get(t, t), n in changing) for n, t in outputs.items() if n not in written]
    return tuple(lines)


def _written(t: Term, cut: Mapping[Term, Term]) -> Term:
    """The term down to values that have a line of their own."""
    return rebuilt([t], dict(cut))[0]


class Namer:
    """Names for values, none given twice nor `taken` before: the author's, or `letter` and a number."""

    def __init__(self, letter: str, taken: Collection[str]) -> None:
        self.letter = letter
        self.taken = set(taken)
        self.count = 0

    def make(self, wanted: str) -> str:
        """The name wanted, if it is free, else that with a number; "" for a name of no meaning."""
        name, k = wanted or self._next(), 1
        while name in self.taken:
            name, k = (f"{wanted}_{k}" if wanted else self._next()), k + 1
        self.taken.add(name)
        return name

    def _next(self) -> str:
        self.count += 1
        return f"{self.letter}{self.count}"
