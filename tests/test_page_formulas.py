"""LaTeX of the pages as MathML: `docs/site/latex.py`."""

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
ELEMENTS = {
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "mover", "mfrac", "msqrt", "mtable",
    "mtr", "mtd",
}  # fmt: skip
ARITY = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "mover": 2}


@pytest.fixture(scope="module")
def latex() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page_latex", DOCS / "site" / "latex.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def formulas() -> list[str]:
    pages = sorted(DOCS.rglob("*.md"))
    return [
        found for page in pages for found in re.findall(r"^\$\$\n(.*?)\n\$\$$", page.read_text(), re.M | re.S)
    ]


def test_every_formula_is_well_formed(latex: ModuleType) -> None:
    """Known elements, each with as many parts as it must have; a row for each line, and its names in its text."""
    assert len(formulas()) > 100
    for formula in formulas():
        root = ET.fromstring(latex.mathml(formula, display=True))
        assert {e.tag for e in root.iter()} <= ELEMENTS
        assert not [e.tag for e in root.iter() if len(e) != ARITY.get(e.tag, len(e))]
        if formula.startswith(r"\begin{aligned}"):
            table = root[0]
            assert (table.tag, table.get("class"), len(table)) == ("mtable", "aligned", formula.count("&= "))
            assert {len(row) for row in table} == {2}
        shown = "".join(root.itertext()).replace("\N{NO-BREAK SPACE}", " ")
        for word in re.findall(r"\\(?:mathrm|text|operatorname)\{(.*?)\}", formula):
            assert word in shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("x_{t}", "<msub><mi>x</mi><mi>t</mi></msub>"),
        ("x_1^2", "<msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup>"),
        (r"\frac{1}{\sqrt{v}}", "<mfrac><mn>1</mn><msqrt><mi>v</mi></msqrt></mfrac>"),
        ("a < b", "<mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow>"),
        (r"\text{<b>}", "<mtext>&lt;b&gt;</mtext>"),
    ],
)
def test_what_is_written_is_shown(latex: ModuleType, written: str, shown: str) -> None:
    assert latex.mathml(written) == f"<math>{shown}</math>"


@pytest.mark.parametrize(
    "wrong",
    [r"\unknown", r"\frac{1}", "x_", "{x", "x}", r"\left(x", r"\begin{matrix}x\end{matrix}", r"a & b"],
)
def test_what_is_not_known_is_refused(latex: ModuleType, wrong: str) -> None:
    with pytest.raises(latex.LatexError):
        latex.mathml(wrong)
