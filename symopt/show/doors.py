"""Formulas of symbols, steps and kernels in the notation asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..backends.base import Memory, Numbers
from ..dtypes import COMPLEX
from ..errors import AttributeValueError, KernelIndexError
from ..expr import Node
from ..infer import Types
from ..passes.ir import Launch, Program
from ..planned import Planned
from .blocks import Block, block_of, text
from .formula import COUNTS
from .formulas import Changes, formulas_of
from .kernels import kernel_blocks, number_names
from .labels import Label
from .latex import latex
from .lines import Line
from .mathml import mathml
from .maths import plain_number
from .pieces import Known
from .terms import number as show_number

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


def write_kernel(program: Program, memory: Memory, number: int, form: str) -> str:
    """The formula of launch `number`, counted from 0, then the numbers it gets in the next step."""
    launches = program.launches
    if not isinstance(number, int) or not 0 <= number < len(launches):
        raise KernelIndexError(f"formula: the step has kernels 0 to {len(launches) - 1}, got {number!r}")
    launch = launches[number]
    numbers = Numbers(program, memory)
    numbers.evaluate()
    return _written([*kernel_blocks(launch.kernel), *_numbers(launch, numbers)], form)


def _numbers(launch: Launch, numbers: Numbers) -> Iterator[Block]:
    """What the numbers of a launch are: those that all its tensors share, then the others."""
    count = len(launch.instances)
    shared: list[Line] = []
    varying: list[str] = []
    for k, name in enumerate(number_names(launch.kernel).values()):
        values = {numbers.number(instance.leaves[k]) for instance in launch.instances}
        if name in COUNTS:
            continue
        if len(values) == 1:
            shared.append(Line(name, show_number(values.pop()), False))
        else:
            varying.append(f"{name} from {plain_number(min(values))} to {plain_number(max(values))}")
    about = f"for {count:,} tensors" if count > 1 else "where"
    if shared or varying:
        yield block_of(", ".join([about, *varying]), shared, {line.name: Label(line.name) for line in shared})


def _written(blocks: Sequence[Block], form: str) -> str:
    if form not in FORMS:
        raise AttributeValueError(f"formula: form must be one of {', '.join(FORMS)}, got {form!r}")
    return FORMS[form](blocks)
