"""LaTeX, as much of it as the pages have, as MathML: browsers set it without a script, and readers aloud read it."""

import html
import re
from collections.abc import Iterator

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\S", re.S)


def _table(names: str, signs: str) -> dict[str, str]:
    return dict(zip(names.split(), signs, strict=True))


GREEK = _table(
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu rho sigma tau phi psi",
    "αβγδϵζηθκλμνρστϕψ",
)
OPERATORS = _table("cdot le ge ne odot sum in leftarrow to infty dots ldots", "·≤≥≠⊙∑∈←→∞……")
OPERATORS |= _table("lvert rvert lVert rVert lfloor rfloor lceil rceil top", "||‖‖⌊⌋⌈⌉\N{DOWN TACK}")
OPERATORS |= _table("| { } _ %", "‖{}_%")
PLAIN = {"-": "\N{MINUS SIGN}", "'": "\N{PRIME}"}
FUNCTIONS = ("max", "min", "exp", "log", "tanh", "sin", "cos")
SPACES = {"thinspace": "0.17em", ",": "0.17em", ";": "0.28em", " ": "0.25em", "quad": "1em", "qquad": "2em"}
ACCENTS = {"tilde": "~", "hat": "^", "bar": "¯"}
NO_BREAK = "\N{NO-BREAK SPACE}"
TABLES = ("aligned", "cases")


class LatexError(ValueError):
    """LaTeX that this does not know."""


def mathml(latex: str, display: bool = False) -> str:
    """A <math> element; LatexError for what is not known."""
    reader = _Reader(latex)
    found = reader.row()
    if reader.tokens:
        raise LatexError(f"{reader.tokens[0]!r} too many in {latex!r}")
    style = ' display="block"' if display else ""
    return f"<math{style}>{found}</math>"


class _Reader:
    """Tokens still to be read."""

    def __init__(self, latex: str) -> None:
        self.latex = latex
        self.tokens = list(_tokens(latex))

    def take(self, wanted: str = "") -> str:
        if not self.tokens or (wanted and self.tokens[0] != wanted):
            raise LatexError(f"expected {wanted or 'more'} in {self.latex!r}")
        return self.tokens.pop(0)

    def row(self) -> str:
        """Everything up to what ends a group, a cell or a row."""
        items = []
        while self.tokens and self.tokens[0] not in ("}", "&", r"\\", r"\end", r"\right"):
            items.append(self.scripted())
        return items[0] if len(items) == 1 else f"<mrow>{''.join(items)}</mrow>"

    def scripted(self) -> str:
        base, below, above = self.atom(), "", ""
        while self.tokens and self.tokens[0] in ("_", "^"):
            if self.take() == "_":
                below = self.argument()
            else:
                above = self.argument()
        if below and above:
            return f"<msubsup>{base}{below}{above}</msubsup>"
        if below or above:
            tag = "msub" if below else "msup"
            return f"<{tag}>{base}{below}{above}</{tag}>"
        return base

    def argument(self) -> str:
        if self.tokens and self.tokens[0] == "{":
            self.take()
            found = self.row()
            self.take("}")
            return found
        return self.atom()

    def atom(self) -> str:
        token = self.take()
        if token == "{":
            self.tokens.insert(0, token)
            return self.argument()
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        return _operator(PLAIN.get(token, token))

    def command(self, name: str) -> str:
        if name in GREEK:
            return f"<mi>{GREEK[name]}</mi>"
        if name in FUNCTIONS:
            return _word(name)
        if name in OPERATORS:
            return _operator(OPERATORS[name])
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"/>'
        if name in ACCENTS:
            return f'<mover accent="true">{self.argument()}<mo stretchy="false">{ACCENTS[name]}</mo></mover>'
        if name == "frac":
            return f"<mfrac>{self.argument()}{self.argument()}</mfrac>"
        if name == "sqrt":
            return f"<msqrt>{self.argument()}</msqrt>"
        if name in ("mathrm", "operatorname", "text"):
            return _upright(name, self.take())
        if name == "left":
            return self.between()
        if name == "begin":
            return self.table()
        raise LatexError(f"\\{name} in {self.latex!r} is not known: see docs/site/latex.py")

    def between(self) -> str:
        opening, inside = self.delimiter(), self.row()
        self.take(r"\right")
        return f"<mrow>{opening}{inside}{self.delimiter()}</mrow>"

    def delimiter(self) -> str:
        token = self.take()
        name = token.removeprefix("\\")
        return (
            ""
            if token == "."
            else f'<mo fence="true" stretchy="true">{html.escape(OPERATORS.get(name, name))}</mo>'
        )

    def table(self) -> str:
        kind = self.take()[1:-1]
        if kind not in TABLES:
            raise LatexError(f"an environment {kind!r} in {self.latex!r} is not known")
        rows, cells = [], [self.row()]
        while self.tokens and self.tokens[0] in ("&", r"\\"):
            if self.take() == r"\\":
                rows.append(cells)
                cells = []
            cells.append(self.row())
        self.take(r"\end")
        self.take(f"{{{kind}}}")
        lines = ("".join(f"<mtd>{cell}</mtd>" for cell in cells) for cells in [*rows, cells])
        return f'<mtable class="{kind}">{"".join(f"<mtr>{line}</mtr>" for line in lines)}</mtable>'


def _tokens(latex: str) -> Iterator[str]:
    """Commands, numbers and single characters; after what takes a word, the word in its braces."""
    words = re.compile(r"(\\(?:text|mathrm|operatorname|begin|end))\s*(\{[^{}]*\})")
    end = 0
    for found in words.finditer(latex):
        yield from TOKEN.findall(latex[end : found.start()])
        yield from found.groups()
        end = found.end()
    yield from TOKEN.findall(latex[end:])


def _operator(text: str) -> str:
    return f"<mo>{html.escape(text)}</mo>"


def _upright(command: str, braced: str) -> str:
    word = html.escape(braced[1:-1]).replace("\\", "")
    if command == "text":
        return f"<mtext>{word}</mtext>".replace(" ", NO_BREAK)  # spaces at the ends would go
    return _word(word)


def _word(word: str) -> str:
    """An upright name. The class tells styles what browsers see by the number of letters."""
    return f'<mi class="word" mathvariant="normal">{word}</mi>'
