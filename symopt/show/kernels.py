"""The formula of a kernel, read off the very nodes that its code is generated from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..build import is_number
from ..dtypes import ITEMSIZE
from ..expr import Node, toposort
from ..passes.ir import LISTED, Kernel, puts_back
from ..prims import CAST, PAIR
from .blocks import Block, block_of, text
from .formula import COUNTS, author_names, loaded, parts_of
from .labels import NONE, STATE, Label, with_part
from .lines import cut_lines
from .reading import read
from .terms import Term, number, term


def kernel_lines(kernel: Kernel) -> tuple[str, ...]:
    """The formula of a kernel line by line, after all simplification. x' is what buffer x holds afterwards.

    Names are those of the kernel's arrays and numbers; widening to a larger dtype, which loses nothing, is left out,
    rounding to a smaller one is not. Rows of a sparse gradient come first, then the others, each under a heading.
    """
    return tuple(text(kernel_blocks(kernel)))


def kernel_blocks(kernel: Kernel) -> list[Block]:
    """The formula of a kernel; of a sparse one, a block for rows that the gradient lists and one for the others."""
    if kernel.sparse < 0:
        return [_block(kernel, kernel.stores, "")]
    gradient = kernel.buffers[kernel.sparse].name
    blocks = [_block(kernel, kernel.stores, f"in rows that {gradient} lists")]
    if kernel.mode == LISTED:
        return blocks  # other rows are not touched
    others = _block(kernel, kernel.absent, "in all other rows")
    return [*blocks, others] if others.lines else blocks


def _block(kernel: Kernel, stores: Sequence[tuple[Node, int]], about: str) -> Block:
    stores = [(root, b) for root, b in stores if not puts_back(root, b)]
    order = toposort([root for root, _ in stores])
    scalars = number_names(kernel)
    terms = _terms(order, scalars)
    outputs: dict[str, Term] = {}
    labels = {b.name: Label(b.name, 0, STATE if b.read and b.write else NONE) for b in kernel.buffers}
    labels |= {name: Label(name) for name in scalars.values()}
    for root, b in stores:
        name = kernel.buffers[b].name
        for part, x in parts_of(root):
            slot = with_part(name, part)
            outputs[slot] = terms[id(x)]
            labels.setdefault(slot, labels[name]._replace(part=part))
    names = {terms[id(n)]: name for n, name in author_names(order).items() if id(n) in terms}
    changing = {slot for slot in outputs if labels[slot].time == STATE}
    lines = cut_lines(outputs, names, labels, changing)
    return block_of(about, lines, labels)


def number_names(kernel: Kernel) -> dict[tuple[int, str], str]:
    """What each number of the host is called, by its leaf: as its attribute, with a number where two have one name."""
    taken = {b.name for b in kernel.buffers}
    found: dict[tuple[int, str], str] = {}
    for leaf in kernel.leaves:
        name = str(leaf[1])
        if name in COUNTS:
            found[leaf] = name
            continue
        free, k = name, 1
        while free in taken:
            free, k = f"{name}_{k}", k + 1
        taken.add(free)
        found[leaf] = free
    return found


def _terms(order: Iterable[Node], scalars: Mapping[tuple[int, str], str]) -> dict[int, Term]:
    """Each primitive of a kernel, by id, as a term."""
    found: dict[int, Term] = {}
    for node in order:
        if node.op == PAIR:
            continue
        args = tuple(found[id(x)] for x in node.inputs)
        if node.op == "load":
            found[id(node)] = loaded(node)
        elif node.op == "const":
            found[id(node)] = number(node.attrs["value"])
        elif node.op == "scalar":
            name = scalars[node.attrs["name"]]
            found[id(node)] = term(COUNTS[name]) if name in COUNTS else term("attr", value=name)
        elif node.op == CAST:
            found[id(node)] = args[0] if loses_nothing(node) else read(term(_dtype(node), *args))
        else:
            found[id(node)] = read(term(node.op, *args))
    return found


def loses_nothing(cast: Node) -> bool:
    """Whether a cast widens, or hands a number of the host to the kernel."""
    before, after = _dtype(cast.inputs[0]), _dtype(cast)
    return is_number(cast) or ITEMSIZE.get(after, 8) > ITEMSIZE.get(before, 8)


def _dtype(node: Node) -> str:
    assert node.type is not None
    return node.type.dtype
