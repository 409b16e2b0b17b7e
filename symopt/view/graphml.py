"""A shown graph as GraphML, which yEd, Gephi, igraph and networkx read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from .model import Item, View
from .plain import shape_text

NODE_KEYS = {
    "label": "string", "kind": "string", "op": "string", "name": "string", "shape": "string", "dtype": "string",
    "stype": "string", "bytes": "long", "kernels": "string", "group": "string", "attrs": "string", "where": "string",
}  # fmt: skip
EDGE_KEYS = {"port": "int", "output": "int"}
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns'
    ' http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">'
)


def graphml(view: View) -> str:
    """The view as a document: every key with a type, what is not known left out.

    Nodes are n0, n1, ... in topological order. Shapes are text like (40, 8), kernels numbers with spaces between them;
    characters that XML has not are written as in Python. `label` is the name once more, where tools look for it.
    """
    return "\n".join([HEAD, *_keys(), *_graph(view), "</graphml>", ""])


def _keys() -> Iterator[str]:
    for what, keys in (
        ("node", NODE_KEYS),
        ("edge", EDGE_KEYS),
        ("graph", {"level": "string", "title": "string"}),
    ):
        for name, kind in keys.items():
            yield f'  <key id="{what}_{name}" for="{what}" attr.name="{name}" attr.type="{kind}"/>'


def _graph(view: View) -> Iterator[str]:
    yield '  <graph id="symopt" edgedefault="directed">'
    yield f"    {_data('graph', 'level', view.level)}{_data('graph', 'title', view.title)}"
    for number, item in enumerate(view.items):
        known = "".join(_data("node", key, value) for key, value in _values(item))
        yield f'    <node id="n{number}">{known}</node>'
    for number, link in enumerate(view.links):
        known = _data("edge", "port", link.port) + _data("edge", "output", link.output)
        ends = f"source={quoteattr(f'n{link.source}')} target={quoteattr(f'n{link.target}')}"
        yield f'    <edge id="e{number}" {ends}>{known}</edge>'
    yield "  </graph>"


def _values(item: Item) -> Iterator[tuple[str, str | int]]:
    """What is known of an item, in the order of NODE_KEYS."""
    found = {
        "label": item.name,
        "kind": item.kind,
        "op": item.op,
        "name": item.name,
        "shape": None if item.shape is None else shape_text(item.shape),
        "dtype": item.dtype,
        "stype": item.stype,
        "bytes": item.bytes,
        "kernels": " ".join(map(str, item.kernels)),
        "group": item.group,
        "attrs": ", ".join(f"{key}={value}" for key, value in item.attrs.items()),
        "where": str(item.where) if item.where else "",
    }
    for key, value in found.items():
        if value is not None and value != "":
            yield key, value


def _data(what: str, key: str, value: str | int) -> str:
    return f'<data key="{what}_{key}">{escape(xml_text(str(value)))}</data>'


def xml_text(text: str) -> str:
    r"""Text without the characters that XML does not have, which are written as in Python.

    >>> xml_text("fc1\x1b[31m\ud800 <b>")
    'fc1\\x1b[31m\\ud800 <b>'
    """
    return _NOT_XML.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


# Also the carriage return, which readers turn into a newline.
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
