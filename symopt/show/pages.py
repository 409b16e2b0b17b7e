"""The reference of all ops as Markdown: a page for each family, and an index."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from ..attrs import Attr
from ..opdef import STORAGE_ATTRS, OpDef, all_ops
from . import sheet
from .agree import Agreement, agreements
from .formula import formula_of
from .lines import lines_of
from .maths import latex_lines

# What a name begins with, and the system whose formula it is.
DIALECTS = {
    "": "MXNet 2",
    "mxnet1_": "MXNet 1",
    "keras_": "Keras of TF 2",
    "keras3_": "Keras 3",
    "torch_": "torch",
    "monolith_": "Monolith",
}
_MARKS = re.compile(r"[\\*_|<]")
_CODE = re.compile(r"(`[^`]+`)")
MADE = (
    "<!-- made by `python -m symopt.rules docs/ops` from the formulas: change those, then run `make docs` -->"
)
HOW_TO_READ = """\
x' is the new value of x; x is its value before the step. Clips and bounds are shown on; a negative bound turns them
off. `clip(x, c)` is x between -c and c. Flags have their defaults, and what each changes is said. In the LaTeX form
$w$ is the weight, $g$ the gradient, $m$ and $v$ the states mean and var, $t$ the number of the step.

"The same formula" lists the ops whose formula is found equal when states and attributes are called alike and what is
listed there holds; nobody wrote it by hand."""


def write_pages(folder: str | os.PathLike[str]) -> None:
    """Write the pages of all ops that come with symopt; pages of families that are no more are removed."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    pages = all_pages(own_ops())
    for path in target.glob("*.md"):
        if path.name not in pages and path.read_text(encoding="utf-8").startswith(MADE):
            path.unlink()
    for name, text in pages.items():
        (target / name).write_text(text, encoding="utf-8", newline="\n")


def own_ops() -> list[OpDef]:
    """The ops whose formulas lie in the folder ops/."""
    return [op for op in all_ops() if sheet.place(op).startswith("ops/")]


def all_pages(ops: Sequence[OpDef]) -> dict[str, str]:
    """The text of each page by its file name."""
    families: dict[str, list[OpDef]] = {}
    for op in ops:
        families.setdefault(PurePath(op.where.file).stem, []).append(op)
    pages = {f"{family}.md": family_page(family, families[family]) for family in sorted(families)}
    return {"README.md": index_page(families), **pages}


# ---- index


def index_page(families: Mapping[str, Sequence[OpDef]]) -> str:
    """All ops: the update ops in a table with a row for each family and a column for each dialect, then the others."""
    updates = {f: [op for op in ops if op.is_update] for f, ops in sorted(families.items())}
    used = [d for d in DIALECTS if any(_names_in(d, op) for ops in updates.values() for op in ops)]
    lines = [MADE, "", "# Ops", "", "Every op that comes with symopt, with its formula.", "", HOW_TO_READ, ""]
    lines += [
        "## Update ops",
        "",
        _row("family", *(DIALECTS[d] for d in used)),
        "|---" * (len(used) + 1) + "|",
    ]
    for family, ops in updates.items():
        if ops:
            cells = ["<br>".join(_link(family, op, n) for op in ops for n in _names_in(d, op)) for d in used]
            lines.append(_row(f"[{family}]({family}.md)", *cells))
    lines += [
        "",
        "Attributes of every update op:",
        "",
        *_attribute_table(STORAGE_ATTRS),
        "",
        "## Ordinary ops",
        "",
    ]
    for family in sorted(families):
        links = [_link(family, op, op.name) for op in families[family] if not op.is_update]
        if links:
            lines.append(f"* [{family}]({family}.md): {', '.join(links)}")
    return "\n".join(lines) + "\n"


def _names_in(dialect: str, op: OpDef) -> list[str]:
    """The names by which an op belongs to a dialect: its own, or aliases. A bare name is MXNet 2's."""
    own = next((d for d in DIALECTS if d and op.name.startswith(d)), "")
    aliases = [n for n in op.aliases if dialect and n.startswith(dialect)]
    return [op.name, *aliases] if own == dialect else aliases


def _link(family: str, op: OpDef, name: str) -> str:
    return f"[`{name}`]({family}.md#{op.name.lower()})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


# ---- a family


def family_page(family: str, ops: Sequence[OpDef]) -> str:
    """The ops of a family in the order of their file."""
    lines = [MADE, "", f"# {family}", "", _about(ops[0]), ""]
    for op in ops:
        lines += [*_op_lines(op), ""]
    return "\n".join(lines)


def _about(op: OpDef) -> str:
    """The first line of the file's docstring."""
    doc = str(op.formula.__globals__.get("__doc__") or "").strip().partition("\n")[0]
    return f"{doc} [{sheet.place(op)}](../../{sheet.place(op)}), [all ops](README.md)".strip()


def _op_lines(op: OpDef) -> Iterator[str]:
    yield f"## {op.name}"
    yield ""
    if op.doc:
        yield from (*_escaped(op.doc).splitlines(), "")
    found = formula_of(op)
    yield from ("```", *sheet.formula_text(op), "```", "")
    yield from ("$$", latex_lines(found, lines_of(found)), "$$", "")
    for label, lines in sheet.flag_changes(op):
        yield from (f"With `{label}`:", "", "```", *lines, "```", "")
    attrs = sheet.own_attributes(op)
    if attrs:
        yield from (*_attribute_table(attrs), "")
    yield from _facts(op)


def _attribute_table(attrs: Sequence[Attr]) -> list[str]:
    rows = [_row(f"`{a.name}`", sheet.shown(a), _escaped(a.doc)) for a in attrs]
    return [_row("attribute", "default", ""), "|---|---|---|", *rows]


def _facts(op: OpDef) -> Iterator[str]:
    def code(names: Sequence[str]) -> str:
        return ", ".join(f"`{n}`" for n in names)

    bits = sheet.exactness_text(op)
    facts = [
        ("Inputs: ", sheet.inputs_text(op)),
        ("Of the results for all arrays: ", sheet.together_text(op)),
        ("Sparse rows: ", "; ".join(sheet.storage_text(op))),
        ("Complex: ", sheet.complex_text(op)),
        ("Bits: ", "" if bits == sheet.EXACT else bits),
        ("Also called ", code(sheet.names_of(op))),
        ("Forms: ", code(sheet.forms_of(op))),
    ]
    yield from (f"* {label}{text}" for label, text in facts if text)
    agreeing = agreements(op)
    if agreeing:
        yield "* The same formula:"
        yield from (f"  * {_agreeing(found)}" for found in agreeing)


def _agreeing(found: Agreement) -> str:
    name, rest = found.op.name, sheet.agreement_text(found).removeprefix(found.op.name)
    return f"[`{name}`]({PurePath(found.op.where.file).stem}.md#{name.lower()}){_escaped(rest)}"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, but for what stands in backticks."""
    return "".join(p if p.startswith("`") else _MARKS.sub(r"\\\g<0>", p) for p in _CODE.split(text))
