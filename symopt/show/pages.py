"""The reference of all ops as Markdown: a page for each family, and an index."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from ..forms import find_op
from ..opdef import STORAGE_ATTRS, OpDef, all_ops
from . import sheet
from .agree import agreements
from .formula import formula_of
from .lines import lines_of
from .maths import latex_lines

DIALECTS = ("mxnet1", "keras3", "keras", "torch", "monolith")
MADE = "<!-- made by `python -m symopt.rules docs/ops` from the formulas: change those, then run `make docs` -->"
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


def dialect(op: OpDef) -> str:
    """The system whose formula an op is; a bare name is MXNet 2's."""
    return next((d for d in DIALECTS if op.name.startswith(f"{d}_")), "")


# ---- index


def index_page(families: Mapping[str, Sequence[OpDef]]) -> str:
    """All ops in a table: a row for each family, a column for each dialect."""
    updates = {f: ops for f, ops in sorted(families.items()) if any(op.is_update for op in ops)}
    ordinary = {f: ops for f, ops in sorted(families.items()) if f not in updates}
    columns = ["", *(d for d in sorted(DIALECTS) if any(dialect(op) == d for ops in updates.values() for op in ops))]
    lines = [MADE, "", "# Ops", "", "Every op that comes with symopt, with its formula.", "", HOW_TO_READ, ""]
    lines += ["## Update ops", "", _row("family", "MXNet 2", *columns[1:]), "|---" * (len(columns) + 1) + "|"]
    for family, ops in updates.items():
        cells = [" ".join(_link(family, op) for op in ops if dialect(op) == d) for d in columns]
        lines.append(_row(f"[{family}]({family}.md)", *cells))
    lines += ["", "Attributes of every update op:", "", *_attribute_table(STORAGE_ATTRS), "", "## Ordinary ops", ""]
    for family, ops in ordinary.items():
        lines.append(f"* [{family}]({family}.md): {' '.join(_link(family, op) for op in ops)}")
    return "\n".join(lines) + "\n"


def _link(family: str, op: OpDef) -> str:
    return f"[`{op.name}`]({family}.md#{op.name.lower()})"


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
    yield from (f"* {line}" for line in _facts(op))


def _attribute_table(attrs: Sequence[sheet.Attr]) -> list[str]:
    rows = [_row(f"`{a.name}`", sheet.shown(a), _escaped(a.doc)) for a in attrs]
    return [_row("attribute", "default", ""), "|---|---|---|", *rows]


def _facts(op: OpDef) -> Iterator[str]:
    yield f"Inputs: {sheet.inputs_text(op)}"
    rows = sheet.storage_text(op)
    if rows:
        yield f"Rows: {'; '.join(rows)}"
    if "the last digit" in sheet.exactness_text(op):
        yield f"Bits: {sheet.exactness_text(op)}"
    names = [f"`{n}`" for n in sheet.names_of(op)]
    if names:
        yield f"Also called {', '.join(names)}"
    forms = [f"`{p}`" for p in sheet.forms_of(op)]
    if forms:
        yield f"Forms: {', '.join(forms)}"
    agreeing = agreements(op)
    if agreeing:
        yield "The same formula:"
        yield from (f"  * {sheet.agreement_text(found)}".replace("* " + found.op.name, f"* `{found.op.name}`", 1)
                    for found in agreeing)  # fmt: skip


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for mark in ("\\", "*", "_", "|", "<"):
        text = text.replace(mark, f"\\{mark}")
    return text
