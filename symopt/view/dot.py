"""A shown graph in the language of Graphviz, and as a picture where its program `dot` is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path

from ..errors import AttributeValueError, DependencyError, SymoptError, near
from ..files import write_whole
from ..forms import find_op
from .dottext import OF_RECORDS, Raw, escaped, with_attrs
from .fold import folded
from .model import Item, KernelItem, Kind, Link, View
from .plain import counted, printable, shape_text, shortened, size_text, where_text

FORMATS = ("svg", "png", "pdf")
MOST_ITEMS = 40  # of more, those alike are drawn once
LARGE = 1000  # items; from there on the layout is the quick one
MOST_PORTS = 8  # inputs that a box names
WIDEST = 32  # columns of a name
COMMUTATIVE = frozenset(("add", "mul", "eq", "ne", "and", "or"))  # primitives whose inputs need no number
TIMEOUT = 120.0  # seconds

# Shape, fill and line of each kind: told apart without colours too.
LOOKS: Mapping[Kind, tuple[str, str, str]] = {
    "variable": ("ellipse", "#e8f0fe", "#4a73c4"),
    "state": ("cylinder", "#fff4d6", "#b8860b"),
    "number": ("hexagon", "#f3e8fd", "#8e5cc0"),
    "op": ("Mrecord", "#e6f4ea", "#2e7d4f"),
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
    picture = _Picture(folded(view) if len(view.items) > MOST_ITEMS and not full else view)
    lines = [*_head(picture.view), *picture.items(), *picture.links()]
    return "\n".join(["digraph symopt {", *lines, "}", ""])


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
        said = printable(done.stderr.decode(errors="replace").strip(), 500)
        raise SymoptError(f"Graphviz failed with status {done.returncode}: {said}")
    write_whole(path, done.stdout)


def _head(view: View) -> Iterator[str]:
    large: dict[str, str | float] = {"splines": "line", "nslimit": 1.0, "mclimit": 0.3}
    label = f"{printable(view.title, 80)}, level {view.level}"
    yield "  graph " + with_attrs(
        label=label, labelloc="t", fontname=FONT, fontsize=14, bgcolor="white", rankdir="TB", compound="true",
        nodesep=0.3, ranksep=0.45, pad=0.3, **(large if len(view.items) > LARGE else {}),
    )  # fmt: skip
    yield "  node " + with_attrs(fontname=FONT, fontsize=11, style="filled", penwidth=1.1, margin="0.12,0.06")
    yield "  edge " + with_attrs(
        fontname=FONT, fontsize=8, color="#80868b", fontcolor="#5f6368", arrowsize=0.6, labeldistance=1.4
    )


# ---- items, in clusters


class _Picture:
    """A view with the names of the inputs and outputs that links lead to: inputs by port, outputs by number."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.kernels = {kernel.number: kernel for kernel in view.kernels}
        self.into: dict[int, dict[int, str]] = {}
        self.from_: dict[int, dict[int, str]] = {}
        for link in view.links:
            source, target = view.items[link.source], view.items[link.target]
            self.into.setdefault(link.target, {}).setdefault(link.port, input_name(target, link.port, source))
            self.from_.setdefault(link.source, {}).setdefault(link.output, output_name(source, link.output))

    def items(self) -> Iterator[str]:
        view = self.view
        inside: dict[int | None, dict[str, list[int]]] = {}
        for number, item in enumerate(view.items):
            boxed = view.level != "program" and len(item.kernels) == 1
            group = item.group if view.level == "primitive" else ""
            inside.setdefault(item.kernels[0] if boxed else None, {}).setdefault(group, []).append(number)
        for kernel, groups in inside.items():
            lines = [
                line for k, group in enumerate(groups) for line in self.group(kernel, k, group, groups[group])
            ]
            if kernel is None:
                yield from (f"  {line}" for line in lines)
            else:
                yield f"  subgraph cluster_kernel{kernel} {{"
                yield "    graph " + _kernel_look(kernel, self.kernels.get(kernel))
                yield from (f"    {line}" for line in lines)
                yield "  }"

    def group(self, kernel: int | None, number: int, group: str, members: Sequence[int]) -> Iterator[str]:
        """The items of one of the user's nodes in a cluster of their own."""
        alone = len(members) == 1 or not group
        lines = [f"n{k} {self.look(k, group if alone else '')}" for k in members]
        if alone:
            yield from lines
            return
        place = "host" if kernel is None else f"kernel{kernel}"
        yield f"subgraph cluster_{place}_node{number} {{"
        yield "  graph " + with_attrs(
            label=printable(group, WIDEST), tooltip=printable(group, 2000), labelloc="b", labeljust="l", fontsize=10,
            fontcolor="#2e7d4f", color="#a8cdb6", style="rounded,filled", fillcolor="#f1f8f3", margin=8,
        )  # fmt: skip
        yield from (f"  {line}" for line in lines)
        yield "}"

    def look(self, number: int, group: str) -> str:
        item = self.view.items[number]
        shape, fill, line = LOOKS[item.kind]
        lines = "\n".join([*self.label(item), *([f"of {printable(group, WIDEST)}"] if group else [])])
        if item.kind == "op":
            lines = _record(lines, self.fields(number, self.into), self.fields(number, self.from_))
        more: dict[str, str | float] = {}
        if item.kind in ("primitive", "number"):
            more = {"fontsize": 10, "height": 0.3, "width": 0.4}
        if item.count > 1 and item.kind not in ("state", "primitive", "number"):
            more["peripheries"] = 2
        return with_attrs(
            label=lines,
            tooltip=_tooltip(item),
            shape=shape,
            style="filled",
            fillcolor=fill,
            color=line,
            **more,
        )

    def fields(self, number: int, names: Mapping[int, Mapping[int, str]]) -> dict[int, str]:
        """The names that a box shows: where there are several, and not too many."""
        found = names.get(number, {})
        named = 1 < len(found) <= MOST_PORTS or (len(found) == 1 and names is self.from_ and 0 not in found)
        return dict(sorted(found.items())) if named and self.view.items[number].kind == "op" else {}

    def label(self, item: Item) -> Iterator[str]:
        """Lines of a label: the name, the op, what it makes."""
        inside = item.kind == "kernel" or (item.kind in ("primitive", "number") and item.kernels)
        more = (
            f" and {item.count - 1:,} more" if item.count > 1 and not inside else ""
        )  # else the kernel says it
        yield printable(item.name, WIDEST) + more
        if item.kind == "op" and item.op != item.name:
            yield printable(item.op, WIDEST)
        if item.kind == "kernel":
            yield from (_facts(self.kernels[k]) for k in item.kernels if k in self.kernels)
        value = item.attrs.get("value")
        if item.kind == "number" and value is not None and value != item.name:
            yield f"= {printable(value, 16)}"
        if item.shape is not None and item.kind not in ("primitive", "number"):
            yield f"{'e.g. ' if more else ''}{shape_text(item.shape)} {item.dtype or ''}".rstrip()
        if item.stype == "row_sparse":
            yield "row_sparse"
        if "kept in" in item.attrs:
            yield f"in {printable(item.attrs['kept in'], WIDEST)}"
        if "stored" in item.attrs:
            yield f"= {printable(item.attrs['stored'], WIDEST)}"

    def links(self) -> Iterator[str]:
        for link in self.view.links:
            inputs, outputs = self.fields(link.target, self.into), self.fields(link.source, self.from_)
            source, target = f"n{link.source}", f"n{link.target}"
            attrs: dict[str, str] = {}
            if inputs:
                target += f":i{link.port}:n"
            elif len(self.into[link.target]) > 1:
                attrs["headlabel"] = self._near_head(link)
                attrs["edgetooltip"] = f"input {link.port}"
            if outputs:
                source += f":o{link.output}:s"
            elif len(self.from_[link.source]) > 1:
                attrs["taillabel"] = self.from_[link.source][link.output]
            yield f"  {source} -> {target}{' ' + with_attrs(**attrs) if attrs else ''}"

    def _near_head(self, link: Link) -> str:
        """The name of an input beside the arrow: left out where there are too many, or their order is all one."""
        if self.view.items[link.target].op in COMMUTATIVE or len(self.into[link.target]) > MOST_PORTS:
            return ""
        return self.into[link.target][link.port]


def input_name(item: Item, port: int, source: Item) -> str:
    """What an input is called, by its op if that is known, else its number."""
    op = find_op(item.op) if item.kind == "op" else None
    names = op.input_names() if op is not None and not op.is_variadic else ()
    if port < len(names):
        return names[port]
    scalars = [key for key, value in item.attrs.items() if op and key in op.attrs and value == source.name]
    return scalars[0] if scalars else str(port)


def output_name(item: Item, output: int) -> str:
    """What an output is called, likewise."""
    op = find_op(item.op) if item.kind == "op" else None
    names = op.outputs if op is not None and not op.is_variadic else ()
    return names[output] if output < len(names) else str(output)


def _kernel_look(number: int, kernel: KernelItem | None) -> str:
    text = f"kernel {number}"
    if kernel is not None:
        text = f"kernel {number}: {printable(kernel.name, 48)}\n{_facts(kernel)}"
    color = BORDERS[number % len(BORDERS)]
    return with_attrs(
        label=escaped(text, "\\l"), labelloc="b", labeljust="l", fontsize=11, fontcolor=color, color=color,
        style="rounded,filled", fillcolor="#fafafa", margin=12,
    )  # fmt: skip


def _facts(kernel: KernelItem) -> str:
    return f"for {kernel.over}; {counted(kernel.tensors, 'tensor')}, {size_text(kernel.bytes)}"


def _record(lines: str, inputs: Mapping[int, str], outputs: Mapping[int, str]) -> Raw:
    """A box in three storeys: the inputs' names, the lines, the outputs' names; links lead to and from the names."""
    parts = [_fields("i", inputs), escaped(lines, also=OF_RECORDS), _fields("o", outputs)]
    return Raw(f"{{{'|'.join(part for part in parts if part)}}}")


def _fields(letter: str, names: Mapping[int, str]) -> str:
    fields = (f"<{letter}{k}> {escaped(shortened(name, 16), also=OF_RECORDS)}" for k, name in names.items())
    return f"{{{'|'.join(fields)}}}" if names else ""


def _tooltip(item: Item) -> str:
    """All that is known of an item, on lines."""
    lines = [f"{item.kind} {printable(item.name, 2000)}"]
    if item.op not in ("null", item.kind, item.name):
        lines.append(f"op {printable(item.op, 200)}")
    if item.shape is not None:
        lines.append(" ".join(filter(None, (shape_text(item.shape), item.dtype, item.stype))))
    if item.bytes is not None:
        lines.append(size_text(item.bytes))
    lines += [f"{printable(k, 80)}: {printable(v, 200)}" for k, v in item.attrs.items()]
    if item.where is not None:
        lines.append(where_text(item.where))
    return "\n".join(lines)
