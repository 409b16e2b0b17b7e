"""A shown graph in the language of Graphviz, and as a picture where its program `dot` is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from os import PathLike, fspath
from pathlib import Path

from ..errors import AttributeValueError, DependencyError, SymoptError, near
from ..forms import find_op
from .fold import folded
from .model import Item, KernelItem, Kind, Link, View
from .plain import counted, safe, shape_text, shortened, size_text

FORMATS = ("svg", "png", "pdf")
MOST_ITEMS = 150  # of more, those alike are drawn once
LARGE = 1000  # items; from there on the layout is the quick one
WIDEST = 32  # columns of a name
TIMEOUT = 120.0  # seconds

# Shape, fill and line of each kind: told apart without colours too.
LOOKS: Mapping[Kind, tuple[str, str, str]] = {
    "variable": ("ellipse", "#e8f0fe", "#4a73c4"),
    "state": ("cylinder", "#fff4d6", "#b8860b"),
    "number": ("hexagon", "#f3e8fd", "#8e5cc0"),
    "op": ("box", "#e6f4ea", "#2e7d4f"),
    "primitive": ("box", "#ffffff", "#5f6368"),
    "kernel": ("component", "#fde7e3", "#c0533f"),
    "array": ("note", "#f1f3f4", "#5f6368"),
}
BORDERS = ("#c0533f", "#2e7d9a", "#6a8f2f", "#8e5cc0", "#b8860b", "#3f6fc0", "#a0446f", "#4f7f6f")
FONT = "Helvetica,Arial,sans-serif"


def to_dot(view: View, full: bool = False) -> str:
    """The view as text for Graphviz: kernels are clusters, at the level of primitives the user's nodes too.

    Of a view of more than MOST_ITEMS items, those alike are drawn as one with a count, unless `full`.
    """
    if len(view.items) > MOST_ITEMS and not full:
        view = folded(view)
    return "\n".join(["digraph symopt {", *_head(view), *_items(view), *_links(view), "}", ""])


def render(dot: str, path: str | PathLike[str], timeout: float = TIMEOUT) -> None:
    """Write a graph in Graphviz's language to a file: SVG, PNG or PDF, by the ending of its name.

    AttributeValueError for another ending, DependencyError where Graphviz is not installed, SymoptError if it fails or
    takes longer than `timeout` seconds.
    """
    ending = Path(path).suffix[1:].lower()
    if ending not in FORMATS:
        raise AttributeValueError(
            f"cannot draw {fspath(path)!r}: its name must end in {', '.join('.' + f for f in FORMATS)}"
            f"{near(ending, FORMATS)}"
        )
    program = shutil.which("dot")
    if program is None:
        raise DependencyError(
            "pictures need Graphviz: install its program `dot` (apt install graphviz, brew install graphviz, "
            "conda install graphviz), or write the text of to_dot() to a file"
        )
    try:
        done = subprocess.run(
            [program, f"-T{ending}"], input=dot.encode(), capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise SymoptError(
            f"Graphviz took more than {timeout:g} seconds for {fspath(path)!r}: draw a part of the graph, or the level "
            f"'program'"
        ) from None
    if done.returncode or not done.stdout:
        said = safe(done.stderr.decode(errors="replace").strip(), 500)
        raise SymoptError(f"Graphviz failed with status {done.returncode}: {said}")
    Path(path).write_bytes(done.stdout)


# ---- the language


def quoted(text: str) -> str:
    """A string in Graphviz's language that is shown as `text`, whatever it holds; lines are centred.

    >>> print(quoted('say "hi" & \\\\N'))
    "say \\"hi\\" &amp; \\\\N"
    """
    lines = (safe(line, 10_000) for line in text.split("\n"))
    return '"' + "\\n".join(_ESCAPED.sub(lambda m: _ESCAPES[m[0]], line) for line in lines) + '"'


# Labels are read once for backslashes and once for entities like &amp;.
_ESCAPES = {"\\": "\\\\", '"': '\\"', "&": "&amp;"}
_ESCAPED = re.compile(r'[\\"&]')


def _with(**attrs: str | float) -> str:
    """Attributes in brackets: names as they are, numbers, text quoted."""
    shown = (f"{k}={quoted(v) if isinstance(v, str) else f'{v:g}'}" for k, v in attrs.items() if v != "")
    return f"[{', '.join(shown)}]"


def _head(view: View) -> Iterator[str]:
    large: dict[str, str | float] = {"splines": "line", "nslimit": 1.0, "mclimit": 0.3}
    label = f"{safe(view.title, 80)}, level {view.level}"
    yield "  graph " + _with(
        label=label, labelloc="t", fontname=FONT, fontsize=14, bgcolor="white", rankdir="TB", compound="true",
        nodesep=0.3, ranksep=0.45, pad=0.3, **(large if len(view.items) > LARGE else {}),
    )  # fmt: skip
    yield "  node " + _with(fontname=FONT, fontsize=11, style="filled", penwidth=1.1, margin="0.12,0.06")
    yield "  edge " + _with(
        fontname=FONT, fontsize=8, color="#80868b", fontcolor="#5f6368", arrowsize=0.6, labeldistance=1.4
    )


# ---- items, in clusters


def _items(view: View) -> Iterator[str]:
    kernels = {kernel.number: kernel for kernel in view.kernels}
    inside: dict[int | None, dict[str, list[int]]] = {}
    for number, item in enumerate(view.items):
        boxed = view.level != "program" and len(item.kernels) == 1
        group = item.group if view.level == "primitive" else ""
        inside.setdefault(item.kernels[0] if boxed else None, {}).setdefault(group, []).append(number)
    for kernel, groups in inside.items():
        lines = [
            line for k, group in enumerate(groups) for line in _group(view, kernel, k, group, groups[group])
        ]
        if kernel is None:
            yield from (f"  {line}" for line in lines)
        else:
            yield f"  subgraph cluster_kernel{kernel} {{"
            yield "    graph " + _kernel_look(kernel, kernels.get(kernel))
            yield from (f"    {line}" for line in lines)
            yield "  }"


def _kernel_look(number: int, kernel: KernelItem | None) -> str:
    text = f"kernel {number}"
    if kernel is not None:
        facts = f"{kernel.over}; {counted(kernel.tensors, 'tensor')}, {size_text(kernel.bytes)}"
        text = f"kernel {number}: {safe(kernel.name, 48)}\nfor {facts}"
    color = BORDERS[number % len(BORDERS)]
    return _with(
        label=text, labeljust="l", fontsize=11, fontcolor=color, color=color, style="rounded,filled",
        fillcolor="#fafafa", margin=12,
    )  # fmt: skip


def _group(view: View, kernel: int | None, number: int, group: str, members: list[int]) -> Iterator[str]:
    """The items of one of the user's nodes in a cluster of their own."""
    lines = [f"n{k} {_look(view.items[k])}" for k in members]
    if not group:
        yield from lines
        return
    place = "host" if kernel is None else f"kernel{kernel}"
    tooltip = safe(group, 2000)
    yield f"subgraph cluster_{place}_node{number} {{"
    yield "  graph " + _with(
        label=safe(group, WIDEST), tooltip=tooltip, labeljust="l", fontsize=10, fontcolor="#2e7d4f",
        color="#a8cdb6", style="rounded,filled", fillcolor="#f1f8f3", margin=8,
    )  # fmt: skip
    yield from (f"  {line}" for line in lines)
    yield "}"


def _look(item: Item) -> str:
    shape, fill, line = LOOKS[item.kind]
    style = "rounded,filled" if item.kind == "op" else "filled"
    is_small = item.kind in ("primitive", "number")
    small: dict[str, str | float] = {"fontsize": 10, "height": 0.3, "width": 0.4} if is_small else {}
    return _with(
        label="\n".join(_label(item)), tooltip=_tooltip(item), shape=shape, style=style, fillcolor=fill,
        color=line, peripheries=2 if item.count > 1 else 1, **small,
    )  # fmt: skip


def _label(item: Item) -> Iterator[str]:
    """Lines of a label: the name, the op, what it makes."""
    times = f"  (x {item.count:,})" if item.count > 1 else ""
    yield safe(item.name, WIDEST) + times
    if item.kind == "op" and item.op != item.name:
        yield safe(item.op, WIDEST)
    if item.kind == "kernel":
        yield f"for {item.attrs.get('over', '')}"
    value = item.attrs.get("value")
    if item.kind == "number" and value is not None and value != item.name:
        yield f"= {safe(value, 16)}"
    if item.shape is not None and item.kind not in ("primitive", "number"):
        yield f"{_shape(item)} {item.dtype or ''}".rstrip()
    if item.stype == "row_sparse":
        yield "row_sparse"
    if item.kind == "array" and item.attrs.get("kept in"):
        yield f"in {safe(item.attrs['kept in'], WIDEST)}"


def _shape(item: Item) -> str:
    return "several shapes" if item.count > 1 else shape_text(item.shape)


def _tooltip(item: Item) -> str:
    """All that is known of an item, on lines."""
    lines = [f"{item.kind} {safe(item.name, 2000)}"]
    if item.op not in ("null", item.name):
        lines.append(f"op {safe(item.op, 200)}")
    if item.shape is not None:
        lines.append(" ".join(filter(None, (shape_text(item.shape), item.dtype, item.stype))))
    if item.bytes is not None:
        lines.append(size_text(item.bytes))
    lines += [f"{safe(k, 80)} = {safe(v, 200)}" for k, v in item.attrs.items()]
    if item.where is not None:
        lines.append(f"{safe(Path(item.where.file).name, 80)}:{item.where.line}")
    return "\n".join(lines)


# ---- links


def _links(view: View) -> Iterator[str]:
    ports: dict[int, set[int]] = {}
    for link in view.links:
        ports.setdefault(link.target, set()).add(link.port)
    for link in view.links:
        head = _port(view.items[link.target], link) if len(ports[link.target]) > 1 else ""
        tail = _output(view.items[link.source], link) if link.output else ""
        known = _with(headlabel=head, taillabel=tail)
        yield f"  n{link.source} -> n{link.target}{' ' + known if head or tail else ''}"


def _port(item: Item, link: Link) -> str:
    """What an input is called, by its op if that is known, else its number."""
    op = find_op(item.op) if item.kind == "op" else None
    names = op.input_names() if op is not None and not op.is_variadic else ()
    return shortened(names[link.port], 16) if link.port < len(names) else str(link.port)


def _output(item: Item, link: Link) -> str:
    op = find_op(item.op) if item.kind == "op" else None
    names = op.outputs if op is not None and not op.is_variadic else ()
    return shortened(names[link.output], 16) if link.output < len(names) else str(link.output)
