"""`symopt ops`: all ops by family, or what is known of one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import PurePath
from typing import Any

from .. import rules
from ..forms import get_op
from ..opdef import OpDef, all_ops
from ..show import sheet
from ..show.agree import agreements
from .commands import UsageError
from .options import add_pairs, once
from .output import print_json, print_text

EXAMPLE = """\
symopt ops
symopt ops adam_update --simplified --set wd=0.01"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="an op, an alias, or a form as mp_adam_update"
    )
    parser.add_argument(
        "--simplified", action="store_true", help="only the formula, without what does nothing by default"
    )
    parser.add_argument("--latex", action="store_true", help="only the formula, in LaTeX")
    add_pairs(parser, "--set", str, "NAME=VALUE", "put an attribute into the formula; once for each")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Namespace) -> int:
    name, values = arguments.name, once("--set", arguments.set)
    if name is None:
        if values or arguments.simplified or arguments.latex:
            raise UsageError("--set, --simplified and --latex are for one op: name it")
        _print_all(arguments.json)
    elif arguments.json:
        print_json(_facts(get_op(name), arguments.simplified, values))
    elif arguments.latex:
        print_text(rules.latex(name, simplified=arguments.simplified, **values))
    elif arguments.simplified:
        print_text(rules.formula(name, simplified=True, **values))
    else:
        print_text(rules.describe(name, **values))
    return 0


def _print_all(as_json: bool) -> None:
    families: dict[str, list[OpDef]] = {}
    for op in all_ops():
        families.setdefault(PurePath(op.where.file).stem, []).append(op)
    if as_json:
        print_json(
            [{"family": family, **_line(op)} for family in sorted(families) for op in families[family]]
        )
        return
    for is_update, title in ((True, "update ops"), (False, "ordinary ops")):
        chosen = {f: [op for op in ops if op.is_update == is_update] for f, ops in sorted(families.items())}
        print_text(f"{title}: {sum(map(len, chosen.values()))}")
        width = max(len(family) for family, ops in chosen.items() if ops)
        for family, ops in chosen.items():
            for k, op in enumerate(ops):
                print_text(f"  {'' if k else family:<{width}}  {op.name}")
        print_text("")
    print_text("forms of an update op: " + ", ".join(f"{prefix}*" for prefix in sheet.FORMS))


def _line(op: OpDef) -> dict[str, Any]:
    return {
        "name": op.name,
        "is_update": op.is_update,
        "inputs": op.input_names(),
        "states": op.states,
        "attributes": {a.name: sheet.shown(a) for a in op.attrs.values()},
        "also_called": sheet.names_of(op),
        "about": op.doc.partition("\n")[0],
    }


def _facts(op: OpDef, simplified: bool, values: dict[str, Any]) -> dict[str, Any]:
    """All that `rules.describe` says, in parts."""
    name = op.name
    return {
        **_line(op),
        "about": sheet.doc_of(op),
        "where": f"{sheet.place(op)}:{op.where.line}",
        "forms": sheet.forms_of(op),
        "formula": rules.formula(name, simplified=simplified, **values).splitlines(),
        "latex": rules.latex(name, simplified=simplified, **values),
        "with": dict(sheet.flag_changes(op)),
        "sparse_rows": sheet.storage_text(op),
        "complex": sheet.complex_text(op),
        "bits": sheet.exactness_text(op),
        "attribute_docs": {a.name: a.doc for a in op.attrs.values()},
        "same_formula": [sheet.agreement_text(found) for found in agreements(op)],
    }
