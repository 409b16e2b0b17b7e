"""Formulas as MathML, which browsers show without any script. Whatever is a name is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .blocks import Block, label_of, target
from .labels import STATE, Label, primes
from .maths import ATOM, GREEK, Form, Notation, plain_number, write
from .terms import Term

# Browsers differ in which of these they follow.
RIGHT = "text-align:right;text-align:-webkit-right"
MINUS = "\u2212"
NAMESPACE = "http://www.w3.org/1998/Math/MathML"


def _infix(sign: str, binds: int, args: tuple[int, int]) -> Form:
    return Form(binds, f"{{0}}<mo>{sign}</mo>{{1}}", args)


def _word(word: str, binds: int, args: tuple[int, int]) -> Form:
    return Form(binds, f"{{0}}<mtext>\u00a0{word}\u00a0</mtext>{{1}}", args)


def _fenced(left: str, right: str) -> Form:
    fences = [
        f'<mo form="{form}" fence="true" stretchy="true">{sign}</mo>'
        for form, sign in (("prefix", left), ("postfix", right))
    ]
    return Form(ATOM, f"<mrow>{fences[0]}{{0}}{fences[1]}</mrow>", (0,))


_FORMS = {
    "or": _word("or", 1, (1, 2)),
    "and": _word("and", 2, (2, 3)),
    "lt": _infix("&lt;", 3, (4, 4)),
    "gt": _infix("&gt;", 3, (4, 4)),
    "le": _infix("≤", 3, (4, 4)),
    "ge": _infix("≥", 3, (4, 4)),
    "eq": _infix("=", 3, (4, 4)),
    "ne": _infix("≠", 3, (4, 4)),
    "add": _infix("+", 4, (4, 5)),
    "sub": _infix(MINUS, 4, (4, 5)),
    "neg": Form(5, f'<mo form="prefix">{MINUS}</mo>{{0}}', (6,)),
    "mul": _infix("⋅", 6, (5, 7)),
    "div": Form(7, "<mfrac><mrow>{0}</mrow><mrow>{1}</mrow></mfrac>", (0, 0)),
    "matmul": Form(6, "{0}<mspace width='0.2em'/>{1}", (6, 7)),
    "transpose": Form(8, "<msup><mrow>{0}</mrow><mo>\u22a4</mo></msup>", (ATOM,)),
    "sqrt": Form(ATOM, "<msqrt>{0}</msqrt>", (0,)),
    "pow": Form(8, "<msup><mrow>{0}</mrow><mrow>{1}</mrow></msup>", (ATOM, 0)),
    "square": Form(8, "<msup><mrow>{0}</mrow><mn>2</mn></msup>", (ATOM,)),
    "abs": _fenced("|", "|"),
    "norm": _fenced("‖", "‖"),
    "where": Form(
        ATOM,
        '<mrow><mo form="prefix" fence="true" stretchy="true">{{</mo><mtable>'
        "<mtr><mtd><mrow>{1}</mrow></mtd><mtd><mtext>if\u00a0</mtext><mrow>{0}</mrow></mtd></mtr>"
        "<mtr><mtd><mrow>{2}</mrow></mtd><mtd><mtext>otherwise</mtext></mtd></mtr></mtable></mrow>",
        (0, 0, 0),
    ),
}
_BRACKET = '<mrow><mo form="prefix">(</mo>{0}<mo form="postfix">)</mo></mrow>'
_LETTERS = dict(zip(sorted(GREEK), "αβδϵηγκλμνϕψρστθζ", strict=True))


def mathml(blocks: Sequence[Block]) -> str:
    """Blocks as one element `math`, a row for each line; it may be put into any page of HTML.

    States and weights have t as subscript, and t-1 before the step.
    """
    rows = []
    for block in blocks:
        if block.about:
            heading = f"<mtext>{escape(_visible(block.about))}:</mtext>"
            rows.append(f'<mtr><mtd columnspan="3" style="text-align:left">{heading}</mtd></mtr>')
        rows += _rows(block)
    table = '<mtable displaystyle="true" columnalign="right center left">'
    return f'<math xmlns="{NAMESPACE}" display="block">{table}{"".join(rows)}</mtable></math>'


def _rows(block: Block) -> list[str]:
    def leaf(t: Term) -> str:
        return _number(t.value) if isinstance(t.value, float) else _named(label_of(t, block.labels))

    notation = Notation(_FORMS, _BRACKET, _function, leaf, "<mo>,</mo>", powers=True)
    rows = []
    for line in block.lines:
        left, right = _named(target(line, block.labels)), write(line.value, notation)
        rows.append(
            f'<mtr><mtd style="{RIGHT}">{left}</mtd><mtd><mo>=</mo></mtd>'
            f'<mtd style="text-align:left"><mrow>{right}</mrow></mtd></mtr>'
        )
    return rows


def _function(name: str) -> str:
    return f"<mi>{escape(name)}</mi><mo>\u2061</mo>"


def _number(value: float) -> str:
    digits, _, power = plain_number(value).partition("e")
    if not power:
        return f"<mn>{escape(digits.replace('inf', '∞'))}</mn>"
    ten = f"<msup><mn>10</mn><mn>{int(power)}</mn></msup>".replace("-", MINUS)
    return ten if digits == "1" else f"<mrow><mn>{digits}</mn><mo>⋅</mo>{ten}</mrow>"


def _visible(text: str) -> str:
    """The text with a mark for each character that XML has no place for."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _named(label: Label) -> str:
    """A name with its time as subscript; Greek letters where they are spelled."""
    stem = label.name.rstrip("0123456789")
    index = label.name[len(stem) :]
    stem = stem.removesuffix("_") or stem
    if stem in _LETTERS or (len(stem) == 1 and index):
        name = f"<mi>{escape(_LETTERS.get(stem, stem))}</mi>"
    else:
        name, index = f"<mi>{escape(_visible(label.name))}</mi>", ""
    below = f"<mn>{index}</mn>" if index else ""
    if label.time:
        before = label.time == STATE and not label.updates
        time = f"<mi>t</mi><mo>{MINUS}</mo><mn>1</mn>" if before else "<mi>t</mi>"
        below += ("<mo>,</mo>" if below else "") + time
    marks = primes(label.updates - 1).replace("'", "\u2032") if label.updates > 1 else ""
    if below and marks:
        name = f"<msubsup>{name}<mrow>{below}</mrow><mo>{marks}</mo></msubsup>"
    elif below:
        name = f"<msub>{name}<mrow>{below}</mrow></msub>"
    return f"<mrow><mi>{label.part}</mi><mo>\u2061</mo>{_BRACKET.format(name)}</mrow>" if label.part else name
