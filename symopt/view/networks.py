"""A shown graph for networkx."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..errors import DependencyError
from ..planned import Planned
from .levels import view_of
from .model import Level
from .plain import shape_text

if TYPE_CHECKING:
    import networkx


def to_networkx(planned: Planned, level: Level) -> networkx.MultiDiGraph[Any]:
    """Nodes are numbers in topological order with kind, op, name, shape, dtype, stype, bytes, kernels and where (the
    user's line, or a formula's); an edge's `port` is the position of the input it feeds, `output` the output it takes.
    """
    nx = _networkx("to_networkx")
    view = view_of(planned, level, each=True)
    graph: networkx.MultiDiGraph[Any] = nx.MultiDiGraph(level=level)
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
            where=str(item.where) if item.where else "",
        )
    for link in view.links:
        graph.add_edge(link.source, link.target, port=link.port, output=link.output)
    return graph


def write_graphml(graph: networkx.MultiDiGraph[Any], path: str | PathLike[str]) -> None:
    """Write a graph of `to_networkx` as GraphML: text and numbers only, every key with one type.

    Shapes and kernels become text, what is not known is left out, and characters that XML has not are written as in
    Python. A node's `label` is what tools show.
    """
    nx = _networkx("write_graphml")
    plain: networkx.MultiDiGraph[Any] = nx.MultiDiGraph(**_plain(graph.graph))
    for number, attrs in graph.nodes(data=True):
        plain.add_node(number, label=_xml(str(attrs.get("name", number))), **_plain(attrs))
    for source, target, attrs in graph.edges(data=True):
        plain.add_edge(source, target, **_plain(attrs))
    nx.write_graphml(plain, path, named_key_ids=True)


def _plain(attrs: Mapping[str, Any]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for key, value in attrs.items():
        if isinstance(value, tuple):
            found[key] = shape_text(value) if key == "shape" else " ".join(map(str, value))
        elif value is not None:
            found[key] = value if isinstance(value, int) else _xml(str(value))
    return found


def _xml(text: str) -> str:
    return _NOT_XML.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _networkx(who: str) -> Any:
    try:
        import networkx
    except ImportError as error:
        raise DependencyError(f"{who} needs networkx: pip install networkx") from error
    return networkx
