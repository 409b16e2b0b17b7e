"""The user's graph: variables and op nodes."""

from __future__ import annotations

from collections.abc import Mapping

from ..dtypes import ITEMSIZE
from ..expr import PICK, Node, origin
from ..infer import Types
from ..listing import list_variables, output_name, text_attrs
from ..passes.calls import size_of
from ..planned import Planned
from ..show.nodes import node_lines
from .gather import Gathering
from .model import Item, Kind, Link

INDEX_BYTES = 8  # of one entry of a sparse gradient's indices
MAX_TITLE = 3  # outputs that a title names


def title_of(planned: Planned) -> str:
    """The outputs' names; of many, the first ones and how many more there are."""
    names = list(dict.fromkeys(output_name(root) for root in planned.roots))
    more = len(names) - MAX_TITLE
    return ", ".join(names[:MAX_TITLE]) + (f" and {more:,} more" if more > 0 else "")


def symbol_items(planned: Planned) -> tuple[tuple[Item, ...], tuple[Link, ...]]:
    """A node of the user's graph is an item; outputs of one node are told apart by the links."""
    types = planned.types
    kinds = variable_kinds(planned)
    kernels = kernels_by_node(planned)
    found = Gathering()
    for node in types.order:
        if node.op == PICK:
            continue
        number = found.add(id(node), _item(node, types, kinds, kernels, planned.listed))
        for port, x in enumerate(node.inputs):
            made, output = origin(x)
            found.link(found.numbers[id(made)], number, port, output)
    return found.done()


def _item(
    node: Node,
    types: Types,
    kinds: Mapping[str, Kind],
    kernels: Mapping[int, tuple[int, ...]],
    listed: Mapping[str, int],
) -> Item:
    shape, dtype, stype = types.shape(node), types.dtype(node), types.stype(node)
    if types.is_host(node):
        dtype = "float64"
    return Item(
        kinds[node.name] if node.is_variable else "op",
        node.op,
        node.name,
        shape,
        dtype,
        stype,
        None
        if types.is_host(node)
        else bytes_of(shape, dtype, listed.get(node.name) if node.is_variable else None),
        kernels.get(id(node), ()),
        formula=() if node.is_variable else node_lines(node),
        attrs=shown_attrs(node),
        where=node.where,
    )


def variable_kinds(planned: Planned) -> dict[str, Kind]:
    """What each variable is, by name."""
    variables = list_variables(planned.roots)
    kinds: dict[str, Kind] = {}
    for node in variables.inputs:
        kinds[node.name] = "number" if planned.types.is_host(node) else "variable"
    kinds.update({node.name: "state" for node in variables.auxiliary if not planned.types.is_host(node)})
    return kinds


def kernels_by_node(planned: Planned) -> dict[int, tuple[int, ...]]:
    """The launches that compute something of a node of the user's, by its id."""
    found: dict[int, dict[int, None]] = {}
    for k, launch in enumerate(planned.program.launches if planned.program else ()):
        for instance in launch.instances:
            for call in instance.region.calls:
                found.setdefault(id(call.node), {})[k] = None
    return {key: tuple(numbers) for key, numbers in found.items()}


def bytes_of(shape: tuple[int, ...] | None, dtype: str | None, listed: int | None = None) -> int | None:
    """Bytes of an array; of a row_sparse one that lists so many rows, with their indices. None: not known."""
    if shape is None or dtype is None or -1 in shape:
        return None
    if listed is None:
        return size_of(shape) * ITEMSIZE[dtype]
    return listed * (size_of(shape[1:]) * ITEMSIZE[dtype] + INDEX_BYTES)


def shown_attrs(node: Node) -> dict[str, str]:
    """Attributes as text: those given, out= and scalars by the names of what they are."""
    if node.is_variable:
        return {k: v for k, v in text_attrs(node).items() if not k.startswith("__")}
    names = node.attrs.get("__scalars__", ())
    shown = {k: str(v) for k, v in node.attrs.items() if not k.startswith("__")}
    shown |= {
        k: origin(x)[0].name for k, x in zip(names, node.inputs[len(node.inputs) - len(names) :], strict=True)
    }
    out = node.attrs.get("__out__", ())
    return shown | ({"out": ", ".join(v.name for v in out)} if out else {})
