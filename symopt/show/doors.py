"""Formulas of symbols, steps and kernels in the notation asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..dtypes import COMPLEX
from ..errors import AttributeValueError, UnknownArgumentError
from ..expr import Node
from ..infer import Types
from ..passes.ir import Program
from ..planned import Planned
from .blocks import Block, text
from .formulas import Changes, formulas_of
from .kernels import kernel_blocks
from .latex import latex
from .mathml import mathml
from .pieces import Known

FORMS: dict[str, Callable[[Sequence[Block]], str]] = {
    "text": lambda blocks: "\n".join(text(blocks)),
    "latex": latex,
    "mathml": mathml,
}


def write_symbol(roots: Sequence[Node], form: str, simplified: bool) -> str:
    """The formulas of a graph of which no shapes are known."""
    return _written(formulas_of(roots, numbers=simplified), form)


def write_executor(planned: Planned, changes: Changes, form: str) -> str:
    """The formulas of a step, with the attributes changed since it was bound."""
    types = planned.types
    return _written(formulas_of(planned.roots, known=lambda n: known_of(n, types), changes=changes), form)


def known_of(node: Node, types: Types) -> Known:
    """What types say of a node that its formula depends on."""
    shape = types.shape(node.inputs[0]) or ()
    parts = frozenset(k for k, x in enumerate(node.inputs) if types.dtype(x) in COMPLEX)
    return Known(len(shape), len(shape) > 1 and shape[-2] > shape[-1], parts)


def write_kernel(program: Program, number: int, form: str) -> str:
    """The formula of launch `number`, counted from 0, and the numbers it gets."""
    launches = program.launches
    if not 0 <= number < len(launches):
        raise UnknownArgumentError(f"formula: the step has kernels 0 to {len(launches) - 1}, got {number!r}")
    return _written(kernel_blocks(launches[number].kernel), form)


def _written(blocks: Sequence[Block], form: str) -> str:
    if form not in FORMS:
        raise AttributeValueError(f"formula: form must be one of {', '.join(FORMS)}, got {form!r}")
    return FORMS[form](blocks)
