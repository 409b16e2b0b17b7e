"""Terms as text, in Unicode or LaTeX. A table each; the brackets follow from how tightly operators bind."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .formula import Formula
from .lines import Line
from .terms import Term, number_of

ATOM, LEAF = 9, 10


class Form(NamedTuple):
    """How an operator is written: how tightly it binds, its text, and how tightly its arguments must."""

    binds: int
    text: str
    args: tuple[int, ...]


class Notation(NamedTuple):
    """`call`: any function that has no form; `leaf`: names and numbers; `powers`: whether large numbers have a
    power of ten, which needs brackets below another power."""

    forms: Mapping[str, Form]
    bracket: str
    call: Callable[[str], str]
    leaf: Callable[[Term], str]
    comma: str = ", "
    powers: bool = False


# 1 or, 2 and, 3 comparisons, 4 sums, 5 negation, 6 products, 7 roots and fractions, 8 powers
TEXT = {
    "or": Form(1, "{0} or {1}", (1, 2)),
    "and": Form(2, "{0} and {1}", (2, 3)),
    "lt": Form(3, "{0} < {1}", (4, 4)),
    "gt": Form(3, "{0} > {1}", (4, 4)),
    "le": Form(3, "{0} ≤ {1}", (4, 4)),
    "ge": Form(3, "{0} ≥ {1}", (4, 4)),
    "eq": Form(3, "{0} = {1}", (4, 4)),
    "ne": Form(3, "{0} ≠ {1}", (4, 4)),
    "add": Form(4, "{0} + {1}", (4, 5)),
    "sub": Form(4, "{0} - {1}", (4, 5)),
    "neg": Form(5, "-{0}", (6,)),
    "mul": Form(6, "{0} · {1}", (5, 7)),
    "div": Form(6, "{0} / {1}", (5, 7)),
    "matmul": Form(6, "{0} @ {1}", (6, 7)),
    "sqrt": Form(7, "√{0}", (LEAF,)),
    "transpose": Form(8, "{0}ᵀ", (ATOM,)),
    "pow": Form(8, "{0}^{1}", (ATOM, ATOM)),
    "square": Form(8, "{0}²", (ATOM,)),
    "abs": Form(ATOM, "|{0}|", (0,)),
    "norm": Form(ATOM, "‖{0}‖", (0,)),
    "marked": Form(ATOM, "⟦{0}⟧", (0,)),
}
LATEX = TEXT | {
    "or": Form(1, r"{0} \text{{ or }} {1}", (1, 2)),
    "and": Form(2, r"{0} \text{{ and }} {1}", (2, 3)),
    "le": Form(3, r"{0} \le {1}", (4, 4)),
    "ge": Form(3, r"{0} \ge {1}", (4, 4)),
    "ne": Form(3, r"{0} \ne {1}", (4, 4)),
    "mul": Form(6, r"{0} \cdot {1}", (5, 7)),
    "div": Form(7, r"\frac{{{0}}}{{{1}}}", (0, 0)),
    "matmul": Form(6, r"{0} \thinspace {1}", (6, 7)),
    "transpose": Form(8, r"{0}^{{\top}}", (ATOM,)),
    "sqrt": Form(ATOM, r"\sqrt{{{0}}}", (0,)),
    "pow": Form(8, "{0}^{{{1}}}", (ATOM, 0)),
    "square": Form(8, "{0}^2", (ATOM,)),
    "abs": Form(ATOM, r"\lvert {0} \rvert", (0,)),
    "norm": Form(ATOM, r"\lVert {0} \rVert", (0,)),
    "where": Form(0, r"\begin{{cases}} {1} & \text{{if }} {0} \\ {2} & \text{{otherwise}} \end{{cases}}", (0, 0, 0)),
}  # fmt: skip
_LATEX_FUNCTIONS = {"max": r"\max", "min": r"\min", "exp": r"\exp", "log": r"\log", "tanh": r"\tanh"}
# Numbers come last and attributes before them, where they may.
_FLIPPED = {"lt": "gt", "le": "ge", "eq": "eq", "ne": "ne", "max": "max", "min": "min"}

GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "eta", "kappa", "lambda", "mu", "nu", "phi", "psi", "rho", "sigma",
    "tau", "theta", "zeta",
}  # fmt: skip
# Letters that papers use. Two names that would share one are written in full, the longer of them.
LETTERS = {
    "weight": "w", "grad": "g", "mean": "m", "var": "v", "history": "h", "step": "t", "eps": r"\epsilon",
    "momentum": r"\mu", "lamda": r"\lambda",
}  # fmt: skip
_NAME = re.compile(r"([A-Za-z]+?)_?(\d*)")


def write(t: Term, notation: Notation) -> str:
    """The term in a notation."""
    return _bound(t, notation)[0]


def _bound(t: Term, notation: Notation) -> tuple[str, int]:
    """The term as text, and how tightly it binds. Formulas are shallow: the recursion is bounded by them."""
    if t.value is not None:
        is_power = notation.powers and isinstance(t.value, float) and "e" in plain_number(t.value)
        return notation.leaf(t), 7 if is_power else LEAF
    op, args = t.op, t.args
    if op in _FLIPPED and len(args) == 2 and _plainness(args[0]) > _plainness(args[1]):
        op, args = _FLIPPED[op], args[::-1]
    form = notation.forms.get(op)
    if form is None:
        inside = notation.comma.join(write(x, notation) for x in args)
        return notation.call(op) + (notation.bracket.format(inside) if args else ""), ATOM
    texts = []
    for x, needed in zip(args, form.args):
        text, binds = _bound(x, notation)
        texts.append(notation.bracket.format(text) if binds < needed else text)
    return form.text.format(*texts), form.binds


def _plainness(t: Term) -> int:
    return 2 if number_of(t) is not None else 1 if t.op == "attr" else 0


# ---- Unicode


def _plain_leaf(t: Term) -> str:
    if isinstance(t.value, float):
        return plain_number(t.value)
    return f"{t.value}'" if t.op == "new" else str(t.value)


def plain_number(value: float) -> str:
    """A number with as many digits as tell it from its neighbours in float32, and no noise of float64's last."""
    return f"{value:.12g}"


UNICODE = Notation(TEXT, "({0})", str, _plain_leaf)


def text_lines(lines: Sequence[Line]) -> list[str]:
    """Assignments one below the other; x' is the new value of x, x its value before the step."""
    names = [line.name + "'" * line.is_new for line in lines]
    width = max(map(len, names), default=0)
    return [f"{name:<{width}} = {write(line.value, UNICODE)}" for name, line in zip(names, lines)]


# ---- LaTeX


def latex_lines(formula: Formula, lines: Sequence[Line]) -> str:
    """The assignments, aligned. States and the weight have t as subscript, their values before the step t-1."""
    symbols = _Symbols(formula, lines)
    notation = Notation(LATEX, r"\left({0}\right)", latex_function, symbols.leaf, powers=True)
    rows = [f"{symbols.line(line)} &= {write(line.value, notation)}" for line in lines]
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(rows), r"\end{aligned}"])


def latex_function(name: str) -> str:
    """The name of a function."""
    return _LATEX_FUNCTIONS.get(name, rf"\operatorname{{{name}}}" if name.isalpha() else upright(name))


def upright(name: str) -> str:
    """A name of several letters. Words are set apart by a space: Markdown eats the backslash of an underscore's."""
    words = re.sub(r"[^A-Za-z0-9]+", " ", name).strip()
    return rf"\text{{{words}}}" if " " in words else rf"\mathrm{{{words}}}"


def letter(name: str, short: bool) -> tuple[str, str]:
    """Symbol and subscript of a name: Greek, one letter, a letter that papers use (if `short`), or upright."""
    match = _NAME.fullmatch(name)
    if match is None:
        return upright(name), ""
    stem, index = match[1], match[2]
    if stem in GREEK:
        return f"\\{stem}", index
    if len(stem) == 1:
        return stem, index
    return (LETTERS[stem], index) if short and stem in LETTERS else (upright(stem), index)


class _Symbols:
    """LaTeX for the names of one formula."""

    def __init__(self, formula: Formula, lines: Sequence[Line]) -> None:
        op = formula.op
        self.moving = {line.name for line in lines if line.is_new} | (
            {op.inputs[0].name} if op.is_update else set()
        )
        self.inputs = {i.name for i in op.inputs if i.kind == "tensor"} if op.is_update else set()
        names = [*op.input_names(), *op.attrs, *formula.outputs]
        literal = {letter(n, False) for n in names}
        self.known: dict[str, tuple[str, str]] = {}
        for name in dict.fromkeys(names):
            free = (s := letter(name, True)) not in literal and s not in self.known.values()
            self.known[name] = s if free else letter(name, False)
        self.between: set[str] = set()
        for line in lines:
            if line.name not in self.known:
                self.known[line.name] = self._between(line.name)

    def _between(self, name: str) -> tuple[str, str]:
        """A value in between: with a tilde where an input is written the same, with a number where another value is."""
        match = re.fullmatch(r"(.+)_(\d+)", name)
        if match is None:
            symbol, index = letter(name, False)
        elif match[1] in self.between:
            symbol, index = self.known[match[1]][0], match[2]
        else:
            symbol, index = self.known.get(match[1]) or letter(match[1], False)
        while (symbol, index) in self.known.values():
            symbol = rf"\tilde{{{symbol}}}"
        self.between.add(name)
        return symbol, index

    def line(self, line: Line) -> str:
        """The left side of a line."""
        return self._name(line.name, "t" if line.is_new else "")

    def leaf(self, t: Term) -> str:
        """A number, an attribute, or an array at its time."""
        if isinstance(t.value, float):
            return latex_number(t.value)
        name = str(t.value)
        if t.op == "new":
            return self._name(name, "t")
        if t.op == "input" and (name in self.moving or name in self.inputs):
            return self._name(name, "t-1" if name in self.moving else "t")
        return self._name(name, "")

    def _name(self, name: str, time: str) -> str:
        symbol, index = self.known.get(name) or letter(name, False)
        below = ",".join(filter(None, (index, time)))
        return symbol + (f"_{{{below}}}" if below else "")


def latex_number(value: float) -> str:
    """A number, with its power of ten."""
    if math.isinf(value):
        return r"\infty"
    digits, _, power = plain_number(value).partition("e")
    if not power:
        return digits
    factor = "" if digits == "1" else rf"{digits} \cdot "
    return f"{factor}10^{{{int(power)}}}"
