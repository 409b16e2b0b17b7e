"""A shown graph for networkx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import DependencyError
from ..planned import Planned
from .levels import view_of
from .model import Level

if TYPE_CHECKING:
    import networkx


def to_networkx(planned: Planned, level: Level) -> networkx.MultiDiGraph[Any]:
    """Nodes are numbers in topological order with the fields of view.model.Item: kind, op, name, shape, dtype, stype,
    bytes, kernels, group, attrs, and where (the user's line, or a formula's, as text). An edge's `port` is the position
    of the input it feeds, `output` the output it takes. `graph.graph["kernels"]`: what each kernel is called.
    """
    try:
        import networkx as nx
    except ImportError as error:
        raise DependencyError("to_networkx needs networkx: pip install networkx") from error
    view = view_of(planned, level, each=True)
    graph: networkx.MultiDiGraph[Any] = nx.MultiDiGraph(level=level, title=view.title)
    graph.graph["kernels"] = {kernel.number: kernel.name for kernel in view.kernels}
    for number, item in enumerate(view.items):
        graph.add_node(
            number,
            kind=item.kind,
            op=item.op,
            name=item.name,
            shape=item.shape,
            dtype=item.dtype,
            stype=item.stype,
            bytes=item.bytes,
            kernels=item.kernels,
            group=item.group,
            attrs=dict(item.attrs),
            where=str(item.where) if item.where else "",
        )
    for link in view.links:
        graph.add_edge(link.source, link.target, port=link.port, output=link.output)
    return graph
