"""`so.rules`: update rules described, written as mathematics, and compared.

Everything is read off the formulas. `python -m symopt.rules docs/ops` writes a page for each family of ops.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from .forms import get_op
from .opdef import OpDef
from .show import sheet
from .show.agree import Agreement, agreements
from .show.compare import AttributeDifference, Difference, LineDifference, difference
from .show.formula import formula_of, neutral_values
from .show.lines import lines_of
from .show.maths import latex_lines
from .show.pages import write_pages
from .show.trajectory import Trajectory

__all__ = [
    "Agreement", "AttributeDifference", "Difference", "LineDifference", "Trajectory",
    "agreeing", "describe", "diff", "formula", "latex", "write_pages",
]  # fmt: skip


def describe(name: str, **values: Any) -> str:
    """What is known of an op: formula, attributes, states, storage, forms, and which ops say the same.

    `values`: attributes put into the formula, as in `formula`.
    """
    return sheet.describe(get_op(name), values)


def formula(name: str, *, simplified: bool = False, **values: Any) -> str:
    """The formula of an op, a line for each output and each value with a name; x' is the new value of x.

    Numbers and flags given as `values` are put in; else clips are on and flags at their defaults. `simplified` leaves
    out what does nothing by default: decay, rescaling, clips and bounds.

    >>> print(formula("sgd_mom_update", simplified=True))
    mom'    = momentum · mom - lr · grad
    weight' = weight + mom'
    """
    op = get_op(name)
    return "\n".join(sheet.formula_text(op, _values(op, simplified, values)))


def latex(name: str, *, simplified: bool = False, **values: Any) -> str:
    r"""The formula of an op in LaTeX, as `formula` gives it in text.

    States and the weight have subscripts t and t-1. Attributes are Greek where their names are (`\beta_{1}`,
    `\epsilon`), `momentum` is `\mu`, others are upright (`\mathrm{lr}`). The number of the step is t.

    >>> print(latex("sgd_update", simplified=True))
    \begin{aligned}
    w_{t} &= w_{t-1} - \mathrm{lr} \cdot g_{t}
    \end{aligned}
    """
    op = get_op(name)
    found = formula_of(op, _values(op, simplified, values))
    return latex_lines(found, lines_of(found))


def _values(op: OpDef, simplified: bool, values: dict[str, Any]) -> dict[str, Any]:
    return {**(neutral_values(op) if simplified else {}), **values}


def diff(first: str, second: str, *, steps: int = 100, seed: int = 0, **values: Any) -> Difference:
    """Where two update ops differ: in attributes and defaults, in the formula, and on the same random gradients.

    Print it, or read its fields. `values`: attributes of both, in the first's names.

    >>> print(diff("adam_update", "mxnet1_adam_update").own_trajectory)
    equal for 100 steps
    """
    return difference(get_op(first), get_op(second), steps, seed, values)


def agreeing(name: str) -> list[Agreement]:
    """The other ops whose formula is the same, once states and attributes are called alike.

    >>> [found.op.name for found in agreeing("ftml_update")]
    ['mxnet1_ftml_update']
    """
    return agreements(get_op(name))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m symopt.rules FOLDER")
    write_pages(os.fspath(sys.argv[1]))
